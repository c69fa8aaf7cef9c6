import { execFileSync } from 'node:child_process';
import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** Makes authorities and certificates in a folder, as NAME.pem beside NAME.key, which the own account alone may read. */
export function certificatesIn(folder: () => string) {
  const path = (name: string) => join(folder(), name);
  const openssl = (...args: string[]) => execFileSync('openssl', args, { stdio: 'pipe' });
  return {
    path,
    authority(name: string): void {
      openssl(
        ...['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-subj', `/CN=${name}`],
        ...['-keyout', path(`${name}.key`), '-out', path(`${name}.pem`)],
      );
    },
    /** A key, and a certificate of it that the authority `ca` has signed. */
    certify(name: string, subject: string, extensions = ''): void {
      writeFileSync(path(`${name}.ext`), extensions);
      openssl(
        ...['req', '-newkey', 'rsa:2048', '-nodes', '-subj', `/CN=${subject}`],
        ...['-keyout', path(`${name}.key`), '-out', path(`${name}.csr`)],
      );
      openssl(
        ...['x509', '-req', '-days', '2', '-in', path(`${name}.csr`), '-extfile', path(`${name}.ext`)],
        ...['-CA', path('ca.pem'), '-CAkey', path('ca.key'), '-CAcreateserial', '-out', path(`${name}.pem`)],
      );
      chmodSync(path(`${name}.key`), 0o600);
    },
  };
}
