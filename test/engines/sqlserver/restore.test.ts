import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { SqlserverOptions } from '../../../src/engines/sqlserver/engine.ts';
import { sqlserverEngine } from '../../../src/engines/sqlserver/engine.ts';
import type { BackupContent, RestoreRequest } from '../../../src/engines/types.ts';
import { RESTORE_ALL } from '../support.ts';
import {
  type Answers,
  BYTES,
  contentOf,
  DATABASE,
  fake,
  fileOf,
  healthy,
  request,
  rowsOf,
  SERVER,
  source,
  useFake,
} from './support-fake.ts';
import type { Answer } from './support-tds.ts';

useFake();

describe('a restore', () => {
  async function backedUp(): Promise<BackupContent> {
    fake.answers = healthy();
    const dump = await sqlserverEngine.dump(source(), request());
    const content = await contentOf(dump);
    await dump.close();
    return content;
  }
  const restoreRequest = (
    more: Partial<RestoreRequest<SqlserverOptions>> = {},
  ): RestoreRequest<SqlserverOptions> => ({
    ...source(),
    source: source(),
    ...RESTORE_ALL,
    overwrite: true,
    ...more,
  });
  /** The server of a restore: it has `app`, and whatever is restored. */
  function restoring(): Answers {
    const names = new Set(['app']);
    return [
      [
        /^RESTORE DATABASE \[([^\]]+)\]/,
        (batch) => {
          expect(
            readFileSync(join(fake.folder, fileOf(batch))).equals(BYTES),
            'the file is whole, and the same',
          ).toBe(true);
          names.add(/^RESTORE DATABASE \[([^\]]+)\]/.exec(batch)![1]!);
          return {};
        },
      ],
      [
        'd.recovery_model_desc',
        (batch) => {
          const name = /WHERE d\.name = N'([^']+)'/.exec(batch)![1]!;
          return names.has(name) ? rowsOf({ ...DATABASE, name }) : { rows: [] };
        },
      ],
      ["HAS_PERMS_BY_NAME(NULL, NULL, 'VIEW SERVER STATE')", rowsOf({ may: 1 })],
      ['dm_exec_sessions s WHERE', { rows: [] }],
      ['sp_getapplock', rowsOf({ result: 0 })],
      [/SUM\(CONVERT\(bigint, size\)\)/, rowsOf({ bytes: '16777216' })],
      ...healthy(),
    ];
  }
  const steps = () =>
    fake.listener.batches
      .flatMap((batch) => batch.split('; '))
      .flatMap((sql) => {
        const short = sql.replaceAll(/[0-9a-f]{8}\b/g, '#').replaceAll(/[0-9a-f]{16}/g, '##');
        if (/^RESTORE (VERIFYONLY|DATABASE)/.test(sql)) return [short.slice(0, short.indexOf(' FROM'))];
        if (/^(ALTER DATABASE|ALTER AUTHORIZATION|DROP DATABASE|DBCC)/.test(sql)) return [short];
        const role = /"role":"(\w+)"/.exec(sql.replaceAll("''", "'"))?.[1];
        if (role) return [`mark ${/\[([^\]]+)\]\.sys/.exec(short)![1]} ${role}`];
        return /sp_dropextendedproperty/.test(sql) ? [`unmark ${/\[([^\]]+)\]\.sys/.exec(short)![1]}`] : [];
      });

  it('loads beside, checks, and swaps by names; every step is marked before it is done', async () => {
    const content = await backedUp();
    fake.answers = restoring();
    const sent = fake.listener.batches.length;
    const outcome = await sqlserverEngine.restore(content, restoreRequest());
    expect(outcome).toMatchObject({
      target: 'app',
      undo: expect.stringMatching(/^app__dg_undo_/),
      sizeBytes: 16_777_216,
    });
    expect(readdirSync(fake.folder)).toEqual([]);
    expect(steps().slice(steps().indexOf('RESTORE VERIFYONLY', sent > 0 ? 1 : 0))).toEqual([
      'RESTORE VERIFYONLY',
      'RESTORE DATABASE [app__dg_new_#]',
      'mark app__dg_new_# new',
      "DBCC CHECKDB (N'app__dg_new_#') WITH NO_INFOMSGS, PHYSICAL_ONLY",
      'ALTER AUTHORIZATION ON DATABASE::[app__dg_new_#] TO [sa]',
      'mark app__dg_new_# ready',
      'mark app swap',
      'ALTER DATABASE [app] SET SINGLE_USER WITH ROLLBACK IMMEDIATE',
      'ALTER DATABASE [app] MODIFY NAME = [app__dg_undo_#]',
      'ALTER DATABASE [app__dg_new_#] MODIFY NAME = [app]',
      'unmark app',
      'ALTER DATABASE [app__dg_undo_#] SET MULTI_USER',
      'mark app__dg_undo_# undo',
    ]);
    const restore = fake.listener.batches.find((batch) => batch.startsWith('RESTORE DATABASE'))!;
    expect(restore).toMatch(
      /MOVE N'app' TO N'E:\\D\\app__dg_new_[0-9a-f]{8}_1\.mdf', MOVE N'app_log' TO N'F:\\L\\app__dg_new_[0-9a-f]{8}_2\.ldf'/,
    );
    expect(restore).not.toMatch(/REPLACE/);
  });

  it('of a test is dropped afterwards, and never named as the target', async () => {
    const content = await backedUp();
    fake.answers = restoring();
    await sqlserverEngine.restore(content, restoreRequest({ scratch: true }));
    expect(steps().slice(-2)).toEqual([
      'ALTER DATABASE [app__dg_scratch_#] SET SINGLE_USER WITH ROLLBACK IMMEDIATE',
      'DROP DATABASE [app__dg_scratch_#]',
    ]);
    expect(steps().join()).not.toContain('MODIFY NAME');
  });

  const failing = (number: number, message: string): Answer => ({ errors: [{ number, message }] });
  it.each([
    ['the file is damaged', ['RESTORE VERIFYONLY', failing(3189, 'Damage')], /Msg 3189/],
    [
      'the restore fails',
      [/^RESTORE DATABASE/, failing(3154, 'The backup set holds a backup of another database')],
      /Msg 3154/,
    ],
    ['the check finds a broken page', ['DBCC CHECKDB', failing(8939, 'Table error')], /Msg 8939/],
    [
      'somebody is at work',
      ['dm_exec_sessions s WHERE', rowsOf({ id: 55, login: 'app', program: 'web', host: 'h' })],
      /session 55 \(app, web, h\)/,
    ],
    ['nobody may tell who is', ["'VIEW SERVER STATE'", rowsOf({ may: 0 })], /may not see who else/],
    ['another restore is going on', ['sp_getapplock', rowsOf({ result: -1 })], /another restore/],
    [
      'it is in an availability group',
      ["= N'app'", rowsOf({ ...DATABASE, in_group: 1 })],
      /availability group/,
    ],
    [
      'the server is older',
      ['ProductVersion', rowsOf({ ...SERVER, version: '15.0.1.1' })],
      /no backup goes into an older server/,
    ],
    ['the tables are not there', ['FROM sys.tables t JOIN', { rows: [] }], /tables are missing: dbo.t/],
  ] as [string, Answers[number], RegExp][])(
    'fails where %s: the target keeps its name and its users',
    async (_, answer, message) => {
      const content = await backedUp();
      fake.answers = [answer, ...restoring()];
      const before = steps().length;
      await expect(sqlserverEngine.restore(content, restoreRequest())).rejects.toThrow(message);
      expect(readdirSync(fake.folder)).toEqual([]);
      expect(
        steps()
          .slice(before)
          .filter((step) => step.includes('[app]')),
      ).toEqual([]);
    },
  );

  it('whose last rename fails puts the old one back', async () => {
    const content = await backedUp();
    fake.answers = [
      [/\[app__dg_new_\w+\] MODIFY NAME/, failing(1801, "Database 'app' already exists.")],
      ...restoring(),
    ];
    await expect(sqlserverEngine.restore(content, restoreRequest())).rejects.toThrow(/1801/);
    expect(steps().slice(-6)).toEqual([
      'ALTER DATABASE [app__dg_new_#] MODIFY NAME = [app]',
      'ALTER DATABASE [app__dg_undo_#] MODIFY NAME = [app]',
      'ALTER DATABASE [app] SET MULTI_USER',
      'unmark app',
      'ALTER DATABASE [app__dg_new_#] SET SINGLE_USER WITH ROLLBACK IMMEDIATE',
      'DROP DATABASE [app__dg_new_#]',
    ]);
  });
});
