import { type Cut, openProxy, type Wire, type WireProxy } from '../support-proxy.ts';

/** https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_com_query.html: length, number, 3, text. */
const COM_QUERY = 3;

/** A client waits for the answer: what comes at once is one statement, or what belongs to the one before. */
const MYSQL: Wire = {
  length: (bytes) => bytes.length || undefined,
  statement: (bytes) => (bytes[3] === 0 && bytes[4] === COM_QUERY ? bytes.toString('utf8', 5) : undefined),
};

/** Counts from the first statement that contains the trigger's text. */
export function openMysqlProxy(port: number, trigger: string, cut?: Cut): Promise<WireProxy> {
  return openProxy(port, MYSQL, { since: (statement) => statement.includes(trigger), cut });
}
