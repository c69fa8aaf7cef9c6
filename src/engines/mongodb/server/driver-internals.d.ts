/** Of the driver's own folder; see raw.ts. */
declare module 'mongodb/lib/cmap/commands.js' {
  export class DocumentSequence {
    constructor(field: string);
    /** The section as it is sent: kind, length, name, documents. */
    toBin(): Uint8Array;
  }
}
