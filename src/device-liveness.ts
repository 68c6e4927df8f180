// What the service manager is told of this gateway: that it serves, how it goes, and that it is alive.
//
// Part of the composition root (device.ts). The watchdog is fed while the store thread and the supervisor answer, and
// the loop that asks them turns (platform/watchdog.ts). The supervisor is asked with a look at its own directory: it
// can do nothing without the disk and the threads that wait for it.
//
// Feeding goes on while the gateway ends: closing may be slow, and TimeoutStopSec bounds it.

import { join } from 'node:path';
import type { ControlParts, DataParts, HubParts, Stage } from './device-parts.ts';
import { Watchdog } from './platform/watchdog.ts';

type Parts = DataParts & HubParts & ControlParts;

/** Tells READY=1, and from now on what goes on. Nothing without a service manager. */
export function reportToInit({ ground, closing }: Stage, parts: Parts): void {
  const { service, clock, log, disk, config } = ground;
  if (service === undefined) return;
  const { store, supervisor } = parts;
  let told = '';
  const tell = (text: string): void => {
    if (text !== told) service.status(text);
    told = text;
  };
  told = summary(parts);
  service.ready(told);
  const { watchdogMs } = service;
  if (watchdogMs === undefined) {
    const unsubscribe = supervisor.onChange(() => tell(summary(parts)));
    closing.push(async () => void unsubscribe());
    return;
  }
  const modulesDirectory = join(config.runDir, 'modules');
  const watchdog = new Watchdog(
    {
      clock,
      log: log.child('watchdog'),
      parts: [
        { name: 'store', ask: () => store.alive() },
        {
          name: 'supervisor',
          ask: () => disk.list('watchdog:modules', modulesDirectory).then(() => supervisor.observe()),
        },
      ],
      feed: () => {
        service.alive();
        tell(summary(parts));
      },
      stuck: (names) => tell(names.length === 0 ? summary(parts) : `no sign of life of: ${names.join(', ')}`),
    },
    { periodMs: watchdogMs },
  );
  watchdog.start();
  closing.push(async () => watchdog.close());
}

/** One line for people: `serving; hub connected; 3 of 4 modules run`. */
function summary({ hub, supervisor }: Parts): string {
  const modules = supervisor.observe();
  const running = modules.filter(({ runtimeStatus }) => runtimeStatus === 'running').length;
  const link = hub === undefined ? 'no hub' : `hub ${hub.link.status().state}`;
  return `serving; ${link}; ${running} of ${modules.length} modules run`;
}
