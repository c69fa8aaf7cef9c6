import { ROWS_BEGIN, ROWS_END } from '../dump/dump-stream.ts';

/** As they were in dumps that knew nothing of rows which their own server would refuse today. */
const FORMER_BEGIN =
  "SET time_zone = '+00:00', sql_mode = 'NO_AUTO_VALUE_ON_ZERO', unique_checks = 0, foreign_key_checks = 0";
const FORMER_END = 'SET time_zone = @dguard_zone, sql_mode = @dguard_mode, unique_checks = @dguard_unique';

/** In the head of every run of a dump tool. The mode of code is set by itself, and is part of that code. */
const HEAD_OF_TOOL = /(@OLD_SQL_MODE=@@SQL_MODE, SQL_MODE='NO_AUTO_VALUE_ON_ZERO)'/;

/**
 * The first statement of every session that loads, whatever reads the rows: see `ROWS_BEGIN`. The client waits while others
 * load rows, and a statement takes as long as it takes.
 */
export const LOAD_MODE =
  'SET @dguard_checks = 0, wait_timeout = 604800, net_read_timeout = 3600, net_write_timeout = 3600 /*M!100201 , check_constraint_checks = 0, max_statement_time = 0 */';

/**
 * A SET statement of a dump, so that rows come in as they are: without ALLOW_INVALID_DATES, and no strict mode either, a
 * server makes `0000-00-00` of a day that no month has, and says nothing. Also whether it begins or ends the rows that
 * dguard wrote.
 */
export function asRowMode(text: string): { readonly sql: string; readonly rows?: 'begin' | 'end' } {
  const statement = text.trim();
  if (statement === ROWS_BEGIN || statement === FORMER_BEGIN)
    return { sql: `\n${ROWS_BEGIN}`, rows: 'begin' };
  if (statement === ROWS_END || statement === FORMER_END) return { sql: text, rows: 'end' };
  return { sql: text.replace(HEAD_OF_TOOL, "$1,ALLOW_INVALID_DATES'") };
}

/** Refused by MySQL since 8.0.11; MariaDB, and MySQL before, have it by default, and code was created under it. */
const GONE_MODE = 'NO_AUTO_CREATE_USER';
const SETS_MODE = /\bSET\s+sql_mode\s*=\s*'([^']*)'/i;

/** A SET statement of a dump for a server without that mode: it is about GRANT alone, and changes no code. */
export function withoutGoneMode(text: string): string {
  return text.replace(SETS_MODE, (all, modes: string) => {
    const kept = modes.split(',').filter((mode) => mode.toUpperCase() !== GONE_MODE);
    return all.replace(modes, () => kept.join(','));
  });
}
