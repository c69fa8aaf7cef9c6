import * as z from 'zod';
import { duration, line, list, port, secret, secretValue } from './fields.ts';

const NOTIFICATION_EVENTS = [
  'backup_success',
  'backup_failed',
  'backup_suspect',
  'verify_failed',
  'restore_completed',
  'restore_failed',
  'cleanup_completed',
  'connection_lost',
  'storage_full',
  'storage_unreachable',
  'health_degraded',
  'stale',
] as const;

const common = {
  events: list(z.enum(NOTIFICATION_EVENTS), 1).optional(),
  timeout: duration().optional(),
};

const address = () => line().regex(/^[^@\s]+@[^@\s]+$|<[^@\s]+@[^@\s]+>$/, 'must be an e-mail address');
const headerName = () => z.string().regex(/^[A-Za-z0-9!#$%&'*+.^_`|~-]+$/, 'must be the name of a header');

export const notification = z.discriminatedUnion('type', [
  z.strictObject({
    type: z.literal('webhook'),
    ...common,
    ...secret('url', 'url'),
    preset: z.enum(['json', 'slack', 'discord', 'telegram', 'ntfy']).optional(),
    headers: z.record(headerName(), secretValue()).optional(),
    ...secret('token'),
    chat_id: line().optional(),
  }),
  z.strictObject({
    type: z.literal('smtp'),
    ...common,
    host: line(),
    port: port().optional(),
    security: z.enum(['starttls', 'tls', 'none']).optional(),
    username: line().optional(),
    ...secret('password'),
    from: address(),
    to: list(address(), 1),
  }),
  z.strictObject({ type: z.literal('ping'), ...common, ...secret('url', 'url') }),
]);

export type NotificationInput = z.output<typeof notification>;
