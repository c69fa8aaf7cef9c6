import { parseDuration } from '../../plan/duration.ts';
import type { DestinationInput } from '../schema/destinations.ts';
import type { OwnSecrets } from '../secrets.ts';
import { DEFAULT_PATH_TEMPLATE } from '../template.ts';
import type { DestinationConfig, MinioConfig, S3Config } from '../types/destinations.ts';
import { given } from './given.ts';

export function normaliseDestination(
  name: string,
  input: DestinationInput,
  secrets: OwnSecrets,
): DestinationConfig {
  const base = {
    name,
    path_template: input.path_template ?? DEFAULT_PATH_TEMPLATE,
    optional: input.optional ?? false,
  };
  switch (input.type) {
    case 'local':
      return given({ ...input, ...base, must_be_mounted: input.must_be_mounted ?? false });
    case 'rclone':
      return given({ ...input, ...base });
    case 'backblaze': {
      const { application_key_file, application_key_command, ...rest } = input;
      const application_key = secrets('application_key')!;
      return given({ ...rest, ...base, application_key, prefix: trimSlash(input.prefix) });
    }
    case 'sftp':
    case 'ssh':
      return overSsh(base, input, secrets);
    default:
      return inBucket(base, input, secrets);
  }
}

type Base = Pick<DestinationConfig, 'name' | 'path_template' | 'optional'>;

const SSH_PORT = 22;

function overSsh(
  base: Base,
  input: Extract<DestinationInput, { type: 'sftp' | 'ssh' }>,
  secrets: OwnSecrets,
): DestinationConfig {
  const {
    password_file,
    password_command,
    private_key_command,
    passphrase_file,
    passphrase_command,
    ...rest
  } = input;
  return given({
    ...rest,
    ...base,
    port: input.port ?? SSH_PORT,
    password: secrets('password'),
    private_key: secrets('private_key'),
    passphrase: secrets('passphrase'),
    host_key: input.host_key ?? [],
  });
}

function inBucket(
  base: Base,
  input: Exclude<DestinationInput, { type: 'local' | 'rclone' | 'backblaze' | 'sftp' | 'ssh' }>,
  secrets: OwnSecrets,
): DestinationConfig {
  const {
    secret_access_key_file,
    secret_access_key_command,
    session_token_file,
    session_token_command,
    object_lock: lock,
    ...rest
  } = input;
  return given({
    ...rest,
    ...base,
    prefix: trimSlash(input.prefix),
    secret_access_key: secrets('secret_access_key'),
    session_token: secrets('session_token'),
    object_lock: lock && { mode: lock.mode, retain_for_ms: parseDuration(lock.retain_for)! },
  }) as S3Config | MinioConfig;
}

const trimSlash = (prefix: string | undefined): string => (prefix ?? '').replace(/\/$/, '');
