// The PROXY protocol, version 2: who the client is, told by the proxy before the first byte of the client's own.
// Pure. Source: HAProxy, "The PROXY protocol", section 2.2.
//
//   0d 0a 0d 0a 00 0d 0a 51 55 49 54 0a   signature
//   21                                    version 2, command: 0 LOCAL (the proxy itself), 1 PROXY
//   11                                    1x IPv4, 2x IPv6, 3x unix, 00 unknown; x1 stream, x2 datagram
//   00 0c                                 bytes that follow: addresses, then TLVs, which are skipped
//   c0 a8 00 01  c0 a8 00 0b  ea 60 07 5b source, destination, source port, destination port
//
// Version 1 is a line of text. It is refused: nobody needs two, and its end has to be searched for.

export type ProxyHeader =
  /** `bytes` are needed to go on. */
  | { readonly kind: 'short'; readonly bytes: number }
  /** `source` is absent where the proxy speaks for itself or does not know. */
  | { readonly kind: 'whole'; readonly bytes: number; readonly source: string | undefined }
  | { readonly kind: 'bad'; readonly detail: string };

const signature = Buffer.from([0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a]);
const fixedBytes = 16;
const versionAt = 12;
const familyAt = 13;
const lengthAt = 14;
const version2 = 2;
const stream = 1;
const family = { unknown: 0, ipv4: 1, ipv6: 2, unix: 3 };
const ipv4Bytes = 12;
const ipv4PortAt = 8;
const ipv6Bytes = 36;
const ipv6PortAt = 32;
const ipv6GroupBytes = 2;
const ipv6AddressBytes = 16;
const unixBytes = 216;
const nibble = 4;
const nibbleMask = 15;
const hex = 16;

/** Reads the header at the start of `bytes`; `bytesMax` bounds what it may announce. */
export function readProxyHeader(bytes: Buffer, bytesMax: number): ProxyHeader {
  const known = Math.min(bytes.length, signature.length);
  if (!bytes.subarray(0, known).equals(signature.subarray(0, known))) {
    const isText = bytes.subarray(0, 'PROXY '.length).toString('latin1') === 'PROXY ';
    return bad(isText ? 'it is version 1, and only version 2 is spoken here' : 'there is none');
  }
  if (bytes.length < fixedBytes) return { kind: 'short', bytes: fixedBytes };
  const versionCommand = bytes[versionAt] as number;
  const command = versionCommand & nibbleMask;
  if (versionCommand >> nibble !== version2) return bad(`its version is ${versionCommand >> nibble}`);
  if (command > 1) return bad(`its command is ${command}`);
  const total = fixedBytes + bytes.readUInt16BE(lengthAt);
  if (total > bytesMax) return bad(`its ${total} bytes are more than ${bytesMax}`);
  if (bytes.length < total) return { kind: 'short', bytes: total };
  if (command === 0) return { kind: 'whole', bytes: total, source: undefined };
  return readAddresses(bytes.subarray(fixedBytes, total), { familyProtocol: bytes[familyAt] as number, total });
}

function readAddresses(
  addresses: Buffer,
  { familyProtocol, total }: { readonly familyProtocol: number; readonly total: number },
): ProxyHeader {
  const kind = familyProtocol >> nibble;
  const whole = (source: string | undefined): ProxyHeader => ({ kind: 'whole', bytes: total, source });
  if (kind === family.unknown) return whole(undefined);
  if ((familyProtocol & nibbleMask) !== stream) return bad('it does not tell of a stream');
  if (kind === family.ipv4) {
    if (addresses.length < ipv4Bytes) return bad('its addresses are cut');
    return whole(`${addresses.subarray(0, nibble).join('.')}:${addresses.readUInt16BE(ipv4PortAt)}`);
  }
  if (kind === family.ipv6) {
    if (addresses.length < ipv6Bytes) return bad('its addresses are cut');
    return whole(`${ipv6Text(addresses)}:${addresses.readUInt16BE(ipv6PortAt)}`);
  }
  if (kind !== family.unix) return bad(`its address family is ${kind}`);
  if (addresses.length < unixBytes) return bad('its addresses are cut');
  return whole('unix:');
}

/** As Node writes it: the longest run of zeros is `::` (RFC 5952). */
function ipv6Text(bytes: Buffer): string {
  const groups: string[] = [];
  for (let at = 0; at < ipv6AddressBytes; at += ipv6GroupBytes) groups.push(bytes.readUInt16BE(at).toString(hex));
  let best = { at: 0, length: 1 };
  for (let at = 0; at < groups.length; at += 1) {
    let length = 0;
    while (groups[at + length] === '0') length += 1;
    if (length > best.length) best = { at, length };
  }
  if (best.length === 1) return groups.join(':');
  return `${groups.slice(0, best.at).join(':')}::${groups.slice(best.at + best.length).join(':')}`;
}

function bad(detail: string): ProxyHeader {
  return { kind: 'bad', detail };
}
