// What machine this is, and how busy: numbers for reports, read when asked for. Nothing here changes anything.

import { statfsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { cpus, freemem, release, totalmem, uptime } from 'node:os';

export interface HostFacts {
  readonly kernelVersion: string;
  /** PRETTY_NAME of os-release(5); empty when there is none. */
  readonly operatingSystem: string;
  readonly cpus: number;
  readonly totalMemoryBytes: number;
  /** What is not available to new programs. */
  readonly usedMemoryBytes: number;
  /** Of all processors together since the machine was booted. */
  readonly usedCpuPercent: number;
  readonly uptimeMs: number;
}

export interface DiskSpace {
  readonly availableBytes: number;
  readonly totalBytes: number;
  /** The kernel's magic number of the file system, hexadecimal: statfs(2). */
  readonly fileSystem: string;
}

const bytesPerKib = 1024;
const msPerSecond = 1000;
const percent = 100;
const hexadecimal = 16;

export async function hostFacts(): Promise<HostFacts> {
  const [osRelease, memory] = await Promise.all(
    ['/etc/os-release', '/proc/meminfo'].map((path) => readFile(path, 'utf8').catch(() => '')),
  );
  const availableKib = Number(/^MemAvailable:\s+(\d+) kB/m.exec(memory ?? '')?.[1] ?? freemem() / bytesPerKib);
  return {
    kernelVersion: release(),
    operatingSystem: /^PRETTY_NAME="?([^"\n]*)/m.exec(osRelease ?? '')?.[1] ?? '',
    cpus: cpus().length,
    totalMemoryBytes: totalmem(),
    usedMemoryBytes: Math.max(0, totalmem() - availableKib * bytesPerKib),
    usedCpuPercent: usedCpuPercent(),
    uptimeMs: uptime() * msPerSecond,
  };
}

/** Undefined when the directory cannot be asked. */
export function diskSpace(path: string): DiskSpace | undefined {
  try {
    const { bavail, blocks, bsize, type } = statfsSync(path);
    return {
      availableBytes: bavail * bsize,
      totalBytes: blocks * bsize,
      fileSystem: `0x${type.toString(hexadecimal)}`,
    };
  } catch {
    return undefined;
  }
}

function usedCpuPercent(): number {
  let idle = 0;
  let all = 0;
  for (const { times } of cpus()) {
    idle += times.idle;
    all += times.idle + times.user + times.nice + times.sys + times.irq;
  }
  return all === 0 ? 0 : (percent * (all - idle)) / all;
}
