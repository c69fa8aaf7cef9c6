import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import type { DestinationConfig } from '../../src/config/types/destinations.ts';
import { createStorage, storageTypes } from '../../src/storages/registry.ts';

const context = { name: 'nas', warn: () => undefined };
const common = { name: 'nas', path_template: '{id}', optional: false };

test('a local destination becomes a local storage', async () => {
  const path = await mkdtemp(join(tmpdir(), 'dguard-registry-'));
  const storage = await createStorage({ ...common, type: 'local', path, must_be_mounted: false }, context);
  expect(storage).toMatchObject({ type: 'local', label: path });
  await rm(path, { recursive: true });
});

test('a known type without an adapter says so, and says which there are', async () => {
  const destination: DestinationConfig = { ...common, type: 'rclone', remote: 'drive:x' };
  if (storageTypes().includes('rclone')) return;
  await expect(createStorage(destination, context)).rejects.toMatchObject({
    code: 'unsupported',
    message: "destination type 'rclone' is not built into this version yet",
    hint: expect.stringContaining('local'),
  });
});
