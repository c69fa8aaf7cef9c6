import type { NotificationInput } from '../schema/notifications.ts';
import type { OwnSecrets } from '../secrets.ts';
import type { NotificationConfig, NotificationEvent } from '../types/notifications.ts';
import { durationMs, given, mapNames } from './given.ts';

/** What a person must act on. Success and cleanup are told only to who asks for them. */
const USUAL_EVENTS: readonly NotificationEvent[] = [
  'backup_failed',
  'backup_suspect',
  'verify_failed',
  'restore_failed',
  'connection_lost',
  'storage_full',
  'storage_unreachable',
  'health_degraded',
  'stale',
];
/** A ping is a sign of life: success is its point. */
const PING_EVENTS: readonly NotificationEvent[] = ['backup_success', 'backup_failed', 'backup_suspect'];
const NOTIFY_TIMEOUT_MS = 10_000;
const SMTP_PORTS = { starttls: 587, tls: 465, none: 25 } as const;

export function normaliseNotification(
  name: string,
  input: NotificationInput,
  secrets: OwnSecrets,
): NotificationConfig {
  const events = input.events ?? (input.type === 'ping' ? PING_EVENTS : USUAL_EVENTS);
  const base = { name, events, timeout_ms: durationMs(input.timeout) ?? NOTIFY_TIMEOUT_MS };
  if (input.type === 'ping') return { ...base, type: 'ping', url: secrets('url')! };
  if (input.type === 'smtp') {
    const { security = 'starttls', username, from, to, host } = input;
    const port = input.port ?? SMTP_PORTS[security];
    return given({
      ...base,
      type: 'smtp' as const,
      host,
      port,
      security,
      username,
      password: secrets('password'),
      from,
      to,
    });
  }
  return given({
    ...base,
    type: 'webhook' as const,
    url: secrets('url'),
    preset: input.preset ?? 'json',
    headers: mapNames(input.headers, (header) => secrets('headers', header)!),
    token: secrets('token'),
    chat_id: input.chat_id,
  });
}
