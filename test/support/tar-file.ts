// Tar archives for tests, header by header: also those that no tool would make.

export interface TarEntry {
  readonly name: string;
  readonly type?: string;
  readonly mode?: number;
  readonly linkTarget?: string;
  readonly content?: string | Buffer;
  /** What the header claims instead of the content's size. */
  readonly claimed?: number;
  /** Raw bytes of the size field. */
  readonly sizeField?: Buffer;
  readonly prefix?: string;
}

const block = 512;

/** One header and its content, filled up. */
export function tarEntry({
  name,
  type = '0',
  mode = 0o644,
  linkTarget = '',
  content = '',
  claimed,
  sizeField,
  prefix = '',
}: TarEntry): Buffer {
  const body = Buffer.from(content);
  const header = Buffer.alloc(block);
  header.write(name, 0, 100);
  header.write(`${mode.toString(8).padStart(7, '0')}\0`, 100);
  header.write('0000000\0', 108);
  header.write('0000000\0', 116);
  if (sizeField === undefined) header.write(`${(claimed ?? body.length).toString(8).padStart(11, '0')}\0`, 124);
  else sizeField.copy(header, 124);
  header.write('00000000000\0', 136);
  header.write(type, 156);
  header.write(linkTarget, 157, 100);
  header.write('ustar\x0000', 257, 'latin1');
  header.write(prefix, 345, 155);
  header.fill(' ', 148, 156);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
  return Buffer.concat([header, body, Buffer.alloc((block - (body.length % block)) % block)]);
}

export const tarEnd = Buffer.alloc(2 * block);

export function tarFile(entries: readonly TarEntry[]): Buffer {
  return Buffer.concat([...entries.map(tarEntry), tarEnd]);
}

/** A pax record with its own length in front. */
export function paxRecord(key: string, value: string): string {
  const rest = ` ${key}=${value}\n`;
  let length = Buffer.byteLength(rest) + 1;
  while (Buffer.byteLength(`${length}${rest}`) !== length) length = Buffer.byteLength(`${length}${rest}`);
  return `${length}${rest}`;
}
