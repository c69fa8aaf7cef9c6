import { badValues } from './fixture.ts';

const S3 = 'type: s3, bucket: bkt';
const SFTP = 'type: sftp, host: h, username: u, remote_path: /r';

badValues([
  ['a local without path', { destination: 'type: local' }, 'destinations.l.path: is required'],
  [
    'a limit of nothing',
    { destination: 'type: local, path: x, max_size_gb: 0' },
    'destinations.l.max_size_gb: must be more than 0',
  ],
  [
    'a template without id',
    { destination: 'type: local, path: x, path_template: "{job}"' },
    'destinations.l.path_template: must contain {id}, or two backups would share a folder',
  ],
  [
    'an unknown variable',
    { destination: 'type: local, path: x, path_template: "{jobs}/{id}"' },
    'destinations.l.path_template: names the unknown variable {jobs}; did you mean {job}?',
  ],
  [
    'a bucket as address',
    { destination: 'type: s3, bucket: "s3://b"' },
    'destinations.l.bucket: must be the bare name of a bucket, without s3:// and /',
  ],
  [
    'half of a credential',
    { destination: `${S3}, access_key_id: x` },
    'destinations.l.access_key_id: needs secret_access_key beside it',
  ],
  [
    'the other half',
    { destination: `${S3}, secret_access_key: long-one` },
    'destinations.l.access_key_id: is required beside secret_access_key',
  ],
  [
    'a KMS key for nothing',
    { destination: `${S3}, kms_key_id: x` },
    'destinations.l.kms_key_id: needs server_side_encryption: aws:kms',
  ],
  [
    'a prefix that climbs',
    { destination: `${S3}, prefix: a/../b` },
    'destinations.l.prefix: must not hold the parts . or ..',
  ],
  [
    'an endpoint with password',
    { destination: `${S3}, endpoint: "https://u:p@h"` },
    'destinations.l.endpoint: must be an http:// or https:// address without user name and password',
  ],
  [
    'an endpoint of nothing',
    { destination: 'type: minio, bucket: bkt' },
    'destinations.l.endpoint: is required',
  ],
  [
    'a lock without time',
    { destination: `${S3}, object_lock: {mode: governance}` },
    'destinations.l.object_lock.retain_for: is required',
  ],
  [
    'a missing key',
    { destination: 'type: backblaze, bucket_name: bkt, application_key_id: x' },
    'destinations.l.application_key: is required',
  ],
  [
    'a passphrase for nothing',
    { destination: `${SFTP}, passphrase: long-one` },
    'destinations.l.passphrase: is the one of a private_key, which is not given',
  ],
  [
    'a host that is an option',
    { destination: 'type: ssh, host: -oProxyCommand=x, username: u, remote_path: r' },
    'destinations.l.host: must be a host name or address alone',
  ],
  [
    'a user that is an option',
    { destination: 'type: ssh, host: h, username: -x, remote_path: r' },
    'destinations.l.username: must not begin with -',
  ],
  [
    'a remote without colon',
    { destination: 'type: rclone, remote: gdrive' },
    'destinations.l.remote: must name a remote of rclone, as in name:path',
  ],
  [
    'memory, which is for tests',
    { destination: 'type: memory' },
    'destinations.l.type: must be one of local, s3, minio, backblaze, sftp, ssh, rclone',
  ],
]);
