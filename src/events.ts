/**
 * What happens while dguard works. Operations emit; only the command-line face draws or logs.
 */

/** The stages of long work, in the words that progress and logs show. */
export type Stage =
  | 'prepare'
  | 'dump'
  | 'finish'
  | 'read'
  | 'check'
  | 'restore'
  | 'compare'
  | 'swap'
  | 'clean up';

export type LogLevel = 'debug' | 'info' | 'warning' | 'error';

export type DguardEvent =
  /** A stage of the work on one subject (a datasource, a backup id) begins. */
  | { type: 'stage'; job?: string; subject: string; stage: Stage; totalBytes?: number }
  /** Running totals for one subject; emitted at most a few times a second. */
  | {
      type: 'progress';
      job?: string;
      subject: string;
      bytesDone: number;
      bytesStored?: number;
      filesDone?: number;
    }
  /** The work on one subject ended. */
  | { type: 'done'; job?: string; subject: string; outcome: 'completed' | 'partial' | 'failed' }
  /** Something a person should read; never a secret. */
  | {
      type: 'log';
      level: LogLevel;
      job?: string;
      subject?: string;
      message: string;
      data?: Readonly<Record<string, unknown>>;
    };

export type Emit = (event: DguardEvent) => void;
