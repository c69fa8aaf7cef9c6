import fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openDirectAgain } from '../src/direct-io.ts';

let root: string;
beforeEach(() => {
  root = fs.mkdtempSync(join(tmpdir(), 'dguard-direct-'));
});
afterEach(() => fs.rmSync(root, { recursive: true }));

describe('a file that is opened once more for direct writes', () => {
  it('is the very file, whatever lies at its path by then', (context) => {
    const folder = join(root, 'folder');
    const victim = join(root, 'victim');
    for (const path of [folder, victim]) fs.mkdirSync(path);
    fs.writeFileSync(join(victim, 'file'), 'untouched');
    const fd = fs.openSync(join(folder, 'file'), 'wx');
    fs.renameSync(folder, join(root, 'moved'));
    fs.symlinkSync(victim, folder);
    const direct = openDirectAgain(fd);
    if (direct === undefined) context.skip('no direct writes here');
    expect(fs.fstatSync(direct!).ino).toBe(fs.fstatSync(fd).ino);
    fs.closeSync(direct!);
    fs.closeSync(fd);
  });
});
