import * as z from 'zod';
import { factsOf } from './schema/fields.ts';
import { NAMED_SECTIONS, root } from './schema/root.ts';

type JsonSchema = Record<string, unknown>;

/**
 * The JSON Schema of the configuration file, for editors. It accepts what the loader accepts before
 * interpolation: `${VAR}` for any scalar, one value for a list, shorthand.
 */
export function configJsonSchema(): object {
  const schema = z.toJSONSchema(root, {
    io: 'input',
    target: 'draft-7',
    unrepresentable: 'any',
    reused: 'inline',
    override: ({ zodSchema, jsonSchema }) => widen(zodSchema, jsonSchema as JsonSchema),
  });
  const sections = schema.properties as Record<string, JsonSchema>;
  for (const section of NAMED_SECTIONS) {
    // A section whose entries are all commented out is null.
    sections[section]!['type'] = ['object', 'null'];
  }
  return { ...schema, title: 'dguard configuration' };
}

const VARIABLE = { type: 'string', pattern: '\\$\\{[A-Za-z_][A-Za-z0-9_]*(:-[^}]*)?\\}' };

function widen(zodSchema: z.core.$ZodType, schema: JsonSchema): void {
  const facts = factsOf(zodSchema);
  const plain = { ...schema };
  // Names are never interpolated.
  const names = plain['propertyNames'] as { anyOf?: JsonSchema[] } | undefined;
  if (names?.anyOf !== undefined) schema['propertyNames'] = names.anyOf[0];
  const either = (...alternatives: JsonSchema[]) => {
    for (const key of Object.keys(schema)) delete schema[key];
    schema['anyOf'] = [plain, ...alternatives];
  };
  if (facts?.kind === 'words') either({ type: 'boolean' }, VARIABLE);
  else if (facts?.kind === 'list') either(plain['items'] as JsonSchema);
  else if (facts?.kind === 'shorthand')
    either((plain['properties'] as Record<string, JsonSchema>)[facts.key]!);
  else if (takesVariable(plain)) either(VARIABLE);
}

/** Discriminators (`const`, and the `type` of sftp and ssh) stay as they are: editors choose by them. */
function takesVariable(schema: JsonSchema): boolean {
  if (schema['type'] === 'number' || schema['type'] === 'integer' || schema['type'] === 'boolean') {
    return !('const' in schema);
  }
  return schema['type'] === 'string' && ('enum' in schema || 'pattern' in schema) && !isTransport(schema);
}

function isTransport(schema: JsonSchema): boolean {
  return Array.isArray(schema['enum']) && schema['enum'].includes('sftp');
}
