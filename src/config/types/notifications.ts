import type { Secret } from '../secret.ts';

export type NotificationEvent =
  | 'backup_success'
  | 'backup_failed'
  | 'backup_suspect'
  | 'verify_failed'
  | 'restore_completed'
  | 'restore_failed'
  | 'cleanup_completed'
  | 'connection_lost'
  | 'storage_full'
  | 'storage_unreachable'
  | 'health_degraded'
  | 'stale';

export type NotificationConfig = WebhookConfig | SmtpConfig | PingConfig;

interface NotificationBase {
  readonly name: string;
  readonly events: readonly NotificationEvent[];
  readonly timeout_ms: number;
}

export interface WebhookConfig extends NotificationBase {
  readonly type: 'webhook';
  /** Absent only with the preset telegram, whose address follows from `token`. */
  readonly url?: Secret;
  readonly preset: 'json' | 'slack' | 'discord' | 'telegram' | 'ntfy';
  readonly headers: Readonly<Record<string, Secret>>;
  /** telegram: the bot's; ntfy: an access token. */
  readonly token?: Secret;
  /** telegram only. */
  readonly chat_id?: string;
}
export interface SmtpConfig extends NotificationBase {
  readonly type: 'smtp';
  readonly host: string;
  readonly port: number;
  readonly security: 'starttls' | 'tls' | 'none';
  readonly username?: string;
  readonly password?: Secret;
  readonly from: string;
  readonly to: readonly string[];
}
export interface PingConfig extends NotificationBase {
  readonly type: 'ping';
  /** Success is sent here, start to `url/start`, failure to `url/fail`. */
  readonly url: Secret;
}
