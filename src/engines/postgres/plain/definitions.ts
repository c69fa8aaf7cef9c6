import type { PlainForeignKey, ReferenceAction } from '../../plain/types.ts';

/** A constraint as `schema.json` has it: its name, and what pg_get_constraintdef says. */
export type Constraint =
  | { readonly kind: 'primary' | 'unique' | 'not null' | 'other'; readonly name: string }
  | {
      readonly kind: 'foreign';
      readonly name: string;
      readonly key: PlainForeignKey;
      /** What a plain foreign key has no place for, in PostgreSQL's words. */
      readonly lost?: string;
    };

const NAME = `(?:"(?:[^"]|"")+"|[a-z_][a-z0-9_$]*)`;
const LIST = String.raw`\((${NAME}(?:, ${NAME})*)\)`;
const FOREIGN = new RegExp(String.raw`FOREIGN KEY ${LIST} REFERENCES (${NAME})\.(${NAME})${LIST}(.*)$`);
const INDEX = new RegExp(
  String.raw`^CREATE (UNIQUE )?INDEX (${NAME}) ON (?:ONLY )?${NAME}\.${NAME} USING btree \(((?:${NAME})(?: DESC| ASC)?(?: NULLS (?:FIRST|LAST))?(?:, (?:${NAME})(?: DESC| ASC)?(?: NULLS (?:FIRST|LAST))?)*)\)(?: INCLUDE \(.*\))?$`,
);

/** Reads `users_pkey PRIMARY KEY (id)`. The name is not quoted there, and may hold anything. */
export function parseConstraint(text: string): Constraint {
  const found = /^(.*?) ((?:PRIMARY KEY|UNIQUE|FOREIGN KEY|CHECK|NOT NULL|EXCLUDE|TRIGGER)\b.*)$/s.exec(text);
  const [name, rest] = found === null ? [text, ''] : [found[1]!, found[2]!];
  if (rest.startsWith('PRIMARY KEY')) return { kind: 'primary', name };
  if (rest.startsWith('UNIQUE')) return { kind: 'unique', name };
  if (rest.startsWith('NOT NULL')) return { kind: 'not null', name };
  const match = FOREIGN.exec(rest);
  if (match === null) return { kind: 'other', name };
  const [, columns, schema, table, references, tail = ''] = match;
  // Of some of its columns alone: nobody else has that, and all of them would be another rule.
  if (/ON DELETE SET (NULL|DEFAULT) \(/.test(tail)) return { kind: 'other', name };
  // Its rows need not obey it: at the target they would have to.
  if (/NOT (VALID|ENFORCED)/.test(tail)) return { kind: 'other', name };
  const lost = /MATCH FULL|DEFERRABLE( INITIALLY DEFERRED)?/g;
  const words = [...tail.matchAll(lost)].map(([word]) => word).join(', ');
  const action = (on: string) =>
    (new RegExp(`ON ${on} (CASCADE|SET NULL|SET DEFAULT|RESTRICT)`).exec(tail)?.[1] ??
      'NO ACTION') as ReferenceAction;
  return {
    kind: 'foreign',
    name,
    key: {
      name,
      columns: names(columns!),
      table: `${unquoted(schema!)}.${unquoted(table!)}`,
      references: names(references!),
      onDelete: action('DELETE'),
      onUpdate: action('UPDATE'),
    },
    ...(words === '' ? {} : { lost: words }),
  };
}

/** Reads a definition of pg_get_indexdef; without columns where it is not a whole tree of plain ones. */
export function parseIndex(text: string): {
  readonly name: string;
  readonly unique: boolean;
  readonly columns?: readonly string[];
} {
  const match = INDEX.exec(text);
  if (match === null) {
    const name = new RegExp(`INDEX (${NAME}) ON`).exec(text)?.[1];
    return { name: name === undefined ? text : unquoted(name), unique: text.startsWith('CREATE UNIQUE') };
  }
  return { name: unquoted(match[2]!), unique: match[1] !== undefined, columns: names(match[3]!) };
}

/** The columns of a list, without the order that an index has them in. */
function names(list: string): string[] {
  return [
    ...list.matchAll(new RegExp(`(${NAME})(?: DESC| ASC)?(?: NULLS (?:FIRST|LAST))?(?:, |$)`, 'g')),
  ].map(([, name]) => unquoted(name!));
}

function unquoted(name: string): string {
  return name.startsWith('"') ? name.slice(1, -1).replaceAll('""', '"') : name;
}
