// What this machine can shut a module in with, as `weir-shim --probe` found out by trying all of it.
//
//   {"kernel":"6.1.21","machine":"aarch64","root":true,"starts":true,"cgroup":"2","landlockAbi":4,
//    "lacking":{"io-weight":"reason",…},"egress":{"none":true,"local":true}}
//
// Owns the asking and the reading of the answer. What a missing feature means for an operator is told by the check;
// what a running module lacks is told by its own state.json, because rights and kernels change between the two.
//
// The probe does the very steps a module's start does, so nothing here is a guess from a version number.

import { execFile } from 'node:child_process';
import { isJsonObject, parseJson } from '../model/json.ts';
import { NativeError } from './native-error.ts';

export interface KernelFeatures {
  /** `uname -r` and `uname -m`. */
  readonly kernel: string;
  readonly machine: string;
  /** Asked as root: only then is it what modules of the system's service get. */
  readonly root: boolean;
  /** A module can be started at all with everything that is there. */
  readonly starts: boolean;
  readonly cgroup: '2' | '1' | 'hybrid' | 'none';
  /** 0: none. */
  readonly landlockAbi: number;
  /** Names as in state.json of a module, each with its reason. */
  readonly lacking: Readonly<Record<string, string>>;
  readonly egress: { readonly none: boolean; readonly local: boolean };
}

const probeTimeoutMs = 8_000;
const generations: readonly string[] = ['2', '1', 'hybrid', 'none'];

/** Takes a few hundredths of a second. Rejects PLATFORM_PROBE_FAILED. */
export function probeKernel(shimPath: string): Promise<KernelFeatures> {
  return new Promise((resolve, reject) => {
    execFile(shimPath, ['--probe'], { timeout: probeTimeoutMs, killSignal: 'SIGKILL' }, (error, stdout, stderr) => {
      const features = parseKernelFeatures(stdout);
      if (features !== undefined) return resolve(features);
      const reason = stderr.trim() !== '' ? stderr.trim() : (error?.message ?? 'its answer is not readable');
      reject(
        new NativeError(
          'PLATFORM_PROBE_FAILED',
          `${shimPath} --probe did not tell what this kernel can do: ${reason}. Run it by hand`,
          error ?? undefined,
        ),
      );
    });
  });
}

/** Undefined when it is no answer of the probe. */
export function parseKernelFeatures(text: string): KernelFeatures | undefined {
  const parsed = parseJson(text);
  if (!parsed.ok || !isJsonObject(parsed.value)) return undefined;
  const { kernel, machine, root, starts, cgroup, landlockAbi, lacking, egress } = parsed.value;
  if (typeof kernel !== 'string' || typeof machine !== 'string' || typeof landlockAbi !== 'number') return undefined;
  if (typeof cgroup !== 'string' || !generations.includes(cgroup)) return undefined;
  if (!isJsonObject(lacking) || !isJsonObject(egress)) return undefined;
  return {
    kernel,
    machine,
    root: root === true,
    starts: starts === true,
    cgroup: cgroup as KernelFeatures['cgroup'],
    landlockAbi,
    lacking: Object.fromEntries(Object.entries(lacking).map(([name, reason]) => [name, String(reason)])),
    egress: { none: egress['none'] === true, local: egress['local'] === true },
  };
}
