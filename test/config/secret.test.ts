import { inspect } from 'node:util';
import { expect, it } from 'vitest';
import { redact, Secret } from '../../src/config/secret.ts';

it('a secret prints as [redacted] whichever way it is printed', () => {
  const secret = new Secret('correct horse');
  expect([`${secret}`, JSON.stringify({ secret }), inspect({ secret })].join()).not.toContain('horse');
  expect(secret.reveal()).toBe('correct horse');
});

it('redact takes out every secret of the process: as it is, trimmed, as URLs write it', () => {
  new Secret('p@ss w/rd');
  new Secret('with newline\n');
  expect(redact('FATAL: p@ss w/rd and p%40ss%20w%2Frd, with newline')).toBe(
    'FATAL: [redacted] and [redacted], [redacted]',
  );
});

it('redact takes out the password of a connection URI, also where a driver repeats it alone', () => {
  new Secret('postgres://backup:tr%C3%A9sor@db.example.org/app');
  expect(redact('connect to postgres://backup:tr%C3%A9sor@db.example.org/app failed')).not.toContain('tr');
  expect(redact('password trésor or tr%C3%A9sor is wrong')).toBe(
    'password [redacted] or [redacted] is wrong',
  );
});

it('of two secrets one of which begins the other, nothing of the longer one is left', () => {
  new Secret('overlap');
  new Secret('overlap-longer');
  expect(redact('x overlap-longer y overlap')).toBe('x [redacted] y [redacted]');
});

it('a value too short to be taken out leaves texts readable', () => {
  new Secret('a');
  new Secret('abc');
  expect(redact('a backup of abc')).toBe('a backup of abc');
});
