/**
 * What to do where Node, OpenSSL or libpq do not believe a server's certificate, by what they say; '' where a text is
 * about something else.
 */
export function certificateHint(text: string): string {
  if (/is not in the cert's (?:list|altnames)|Hostname\/IP does not match/.test(text))
    return 'call the server by a name of its certificate (host), or check the authority alone: ssl: verify-ca';
  if (/certificate (?:has expired|is not yet valid)/i.test(text))
    return "renew the server's certificate; if it is valid, set the clock of this host right";
  if (/self[- ]signed certificate|unable to (?:verify|get)|certificate verify failed/i.test(text))
    return 'say which authority has signed the certificate: ssl_ca: FILE.pem';
  return '';
}
