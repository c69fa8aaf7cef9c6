import { badValues } from './fixture.ts';

badValues([
  [
    'an event',
    { notification: 'type: ping, url: "http://h", events: backup_fail' },
    'notifications.n.events[0]: must be one of backup_success, backup_failed, backup_suspect, verify_failed, restore_completed, restore_failed, cleanup_completed, connection_lost, storage_full, storage_unreachable, health_degraded, stale (did you mean backup_failed?)',
  ],
  ['a webhook to nowhere', { notification: 'type: webhook' }, 'notifications.n.url: is required'],
  [
    'a webhook elsewhere',
    { notification: 'type: webhook, url: "file:///etc/passwd"' },
    'notifications.n.url: must be an http:// or https:// address without user name and password',
  ],
  [
    'half of telegram',
    { notification: 'type: webhook, preset: telegram, token: long-one' },
    'notifications.n.chat_id: is required for the preset telegram',
  ],
  [
    'a token that nobody reads',
    { notification: 'type: webhook, url: "http://h", token: long-one' },
    'notifications.n.token: is for the presets telegram and ntfy only (use headers)',
  ],
  [
    'a header that is two',
    { notification: 'type: webhook, url: "http://h", headers: {A: "x\\r\\nB: y"}' },
    'notifications.n.headers.A: must be one line of text',
  ],
  [
    'an address',
    { notification: 'type: smtp, host: h, from: a, to: c@d' },
    'notifications.n.from: must be an e-mail address',
  ],
  [
    'a password of nobody',
    { notification: 'type: smtp, host: h, from: a@b, to: c@d, password: long-one' },
    'notifications.n.username: is required beside password',
  ],
]);
