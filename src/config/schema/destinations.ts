import * as z from 'zod';
import { prefixProblem, templateProblem } from '../template.ts';
import { duration, httpUrl, line, list, path, port, positive, secret } from './fields.ts';

const common = {
  path_template: z
    .string()
    .check((context) => {
      const message = templateProblem(context.value);
      if (message !== undefined) context.issues.push({ code: 'custom', message, input: context.value });
    })
    .optional(),
  optional: z.boolean().optional(),
};

const prefix = () =>
  z
    .string()
    .check((context) => {
      const message = context.value === '' ? undefined : prefixProblem(context.value.replace(/\/$/, ''));
      if (message !== undefined) context.issues.push({ code: 'custom', message, input: context.value });
    })
    .optional();

const bucketName = () =>
  z
    .string()
    .regex(/^[A-Za-z0-9][A-Za-z0-9._-]{1,62}$/, 'must be the bare name of a bucket, without s3:// and /');

const s3Common = {
  ...common,
  bucket: bucketName(),
  region: line().optional(),
  prefix: prefix(),
  access_key_id: line().optional(),
  ...secret('secret_access_key'),
  ...secret('session_token'),
  storage_class: line().optional(),
  server_side_encryption: z.enum(['AES256', 'aws:kms', 'aws:kms:dsse']).optional(),
  kms_key_id: line().optional(),
  object_lock: z
    .strictObject({ mode: z.enum(['governance', 'compliance']), retain_for: duration() })
    .optional(),
  force_path_style: z.boolean().optional(),
};

export const destination = z.discriminatedUnion('type', [
  z.strictObject({
    type: z.literal('local'),
    ...common,
    path: path(),
    max_size_gb: positive().optional(),
    must_be_mounted: z
      .union([z.boolean(), path()], { error: 'must be true, false, or the folder that is the mount' })
      .optional(),
  }),
  z.strictObject({ type: z.literal('s3'), ...s3Common, endpoint: httpUrl().optional() }),
  z.strictObject({ type: z.literal('minio'), ...s3Common, endpoint: httpUrl() }),
  z.strictObject({
    type: z.literal('backblaze'),
    ...common,
    bucket_name: bucketName(),
    application_key_id: line(),
    ...secret('application_key'),
    prefix: prefix(),
  }),
  z.strictObject({
    type: z.enum(['sftp', 'ssh']),
    ...common,
    host: line().refine((value) => !/[\s/@]|^-/.test(value), 'must be a host name or address alone'),
    port: port().optional(),
    username: line().refine((value) => !value.startsWith('-'), 'must not begin with -'),
    ...secret('password'),
    ...secret('private_key'),
    ...secret('passphrase'),
    known_hosts: path().optional(),
    host_key: list(line()).optional(),
    remote_path: line(),
  }),
  z.strictObject({
    type: z.literal('rclone'),
    ...common,
    remote: line().regex(/^[^-:][^:]*:/, 'must name a remote of rclone, as in name:path'),
    config_file: path().optional(),
  }),
]);

export type DestinationInput = z.output<typeof destination>;
