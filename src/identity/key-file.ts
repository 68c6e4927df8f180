// A symmetric key of this node's own in a file: for a gateway without a hub, whose modules still need keys.
//
//   base64 of 32 random bytes and a line end, mode 0600
//
// A file that holds no key is set aside as `{name}.damaged`: the modules then get new keys, which they fetch
// through their workload sockets anyway.

import type { Disk } from '../platform/disk.ts';
import type { Entropy } from '../platform/entropy.ts';
import type { Log } from '../platform/log.ts';
import { DeviceKey } from './device-key.ts';

const keyBytes = 32;
const privateMode = 0o600;

export async function loadOrCreateDeviceKey(
  ports: { readonly disk: Disk; readonly entropy: Entropy; readonly log: Log },
  path: string,
): Promise<DeviceKey> {
  const text = await ports.disk.readTextIfPresent('device-key:load', path);
  if (text !== undefined) {
    try {
      return new DeviceKey(text.trim());
    } catch {
      await ports.disk.rename('device-key:quarantine', path, `${path}.damaged`);
      ports.log.error('key file is damaged: set aside and replaced', { path: `${path}.damaged` });
    }
  }
  const keyBase64 = Buffer.from(ports.entropy.bytes(keyBytes)).toString('base64');
  await ports.disk.writeFileAtomic('device-key:save', path, { data: `${keyBase64}\n`, mode: privateMode });
  return new DeviceKey(keyBase64);
}
