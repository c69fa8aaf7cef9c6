import type { Secret } from '../secret.ts';

export type DestinationType = 'local' | 's3' | 'minio' | 'backblaze' | 'sftp' | 'ssh' | 'rclone';

export type DestinationConfig =
  | LocalConfig
  | S3Config
  | MinioConfig
  | BackblazeConfig
  | SftpConfig
  | RcloneConfig;

interface DestinationBase {
  readonly name: string;
  /** Folder of a backup, always with `{id}`; default `{job}/{datasource}/{id}`. */
  readonly path_template: string;
  /** When it is offline, a run without it is no failure (exit 75). */
  readonly optional: boolean;
}

export interface LocalConfig extends DestinationBase {
  readonly type: 'local';
  /** Absolute. */
  readonly path: string;
  /** In GiB. */
  readonly max_size_gb?: number;
  /** True: the path itself must be a mount point; a path: the folder at or above it that must be one. */
  readonly must_be_mounted: boolean | string;
}

/** What S3, MinIO and other S3-compatible services share. */
export interface S3Common extends DestinationBase {
  readonly endpoint?: string;
  readonly bucket: string;
  readonly region?: string;
  /** Without a leading or trailing `/`; empty: none. */
  readonly prefix: string;
  /** Both or neither; neither: the default AWS chain. */
  readonly access_key_id?: string;
  readonly secret_access_key?: Secret;
  readonly session_token?: Secret;
  readonly storage_class?: string;
  readonly server_side_encryption?: 'AES256' | 'aws:kms' | 'aws:kms:dsse';
  readonly kms_key_id?: string;
  readonly object_lock?: ObjectLockConfig;
  /** Undefined: path style wherever an endpoint is given. */
  readonly force_path_style?: boolean;
}
export interface S3Config extends S3Common {
  readonly type: 's3';
}
export interface MinioConfig extends S3Common {
  readonly type: 'minio';
  readonly endpoint: string;
}
export interface ObjectLockConfig {
  readonly mode: 'governance' | 'compliance';
  readonly retain_for_ms: number;
}
export interface BackblazeConfig extends DestinationBase {
  readonly type: 'backblaze';
  readonly bucket_name: string;
  readonly application_key_id: string;
  readonly application_key: Secret;
  readonly prefix: string;
}
export interface SftpConfig extends DestinationBase {
  readonly type: 'sftp' | 'ssh';
  readonly host: string;
  readonly port: number;
  readonly username: string;
  readonly password?: Secret;
  /** The key's text, wherever it came from. */
  readonly private_key?: Secret;
  /** Its absolute path, where it came from a file (for clients that want one). */
  readonly private_key_file?: string;
  readonly passphrase?: Secret;
  /** Absolute path; undefined: the user's own. */
  readonly known_hosts?: string;
  /** Public keys (`ssh-ed25519 AAAA…`) or fingerprints (`SHA256:…`) to accept; empty: known_hosts decides. */
  readonly host_key: readonly string[];
  readonly remote_path: string;
}
export interface RcloneConfig extends DestinationBase {
  readonly type: 'rclone';
  /** `name:path` of rclone's own configuration. */
  readonly remote: string;
  /** rclone's configuration file, absolute; undefined: its own default. */
  readonly config_file?: string;
}
