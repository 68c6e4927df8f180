// What was written so far, by hours, and when the device's registers rose; as a text that outlives a restart.
//
//   weir-flash 1
//   {"device":"…","watchedMs":…,"written":…,"deviceWritten":…,"accepted":…,"hours":[…],"step":2,"rises":[…]}
//
// All times are milliseconds in which the runtime ran and looked: no clock that jumps and no time without power can
// spoil a figure. "A day" is therefore a day under power. The text holds nothing that is missed: where it is not
// understood, or of another device, the account begins anew.

/** What one look brought since the one before. */
export interface WearSample {
  readonly elapsedMs: number;
  /** By this runtime; undefined: the kernel does not tell. */
  readonly written: number | undefined;
  /** By everybody, to the device. */
  readonly deviceWritten: number | undefined;
  /** Message bodies and MQTT state that were taken. */
  readonly accepted: number;
}

interface Hour {
  ms: number;
  written: number;
  deviceWritten: number;
}

/** The life register showed `step` for the first time. */
export interface Rise {
  readonly step: number;
  readonly watchedMs: number;
}

interface Account {
  readonly device: string;
  watchedMs: number;
  written: number;
  deviceWritten: number;
  accepted: number;
  /** Oldest first, the last one is being filled. */
  hours: Hour[];
  /** The last one seen; 0: none yet. */
  step: number;
  rises: Rise[];
}

const hourMs = 3_600_000;
const dayMs = 86_400_000;
const hoursKept = 24;
/** Less would be a guess: a start writes more than an hour of operation. */
const figureMsMin = hourMs;
const risesMax = 16;
const header = 'weir-flash 1\n';

export class WearLedger {
  readonly #account: Account;

  /** Goes on with `text` when it is understood and about this device. */
  constructor(device: string, text?: string) {
    const found = text === undefined ? undefined : parseAccount(text);
    const fresh = { device, watchedMs: 0, written: 0, deviceWritten: 0, accepted: 0, hours: [], step: 0, rises: [] };
    this.#account = found?.device === device ? found : fresh;
  }

  add({ elapsedMs, written = 0, deviceWritten = 0, accepted }: WearSample): void {
    const account = this.#account;
    account.watchedMs += elapsedMs;
    account.written += written;
    account.deviceWritten += deviceWritten;
    account.accepted += accepted;
    let hour = account.hours.at(-1);
    if (hour === undefined || hour.ms >= hourMs) {
      hour = { ms: 0, written: 0, deviceWritten: 0 };
      account.hours.push(hour);
      if (account.hours.length > hoursKept) account.hours.shift();
    }
    hour.ms += elapsedMs;
    hour.written += written;
    hour.deviceWritten += deviceWritten;
  }

  /** The device's life register. It never falls; the first one seen is no rise: nobody knows since when. */
  sawStep(step: number): void {
    const account = this.#account;
    if (step <= account.step) return;
    if (account.step > 0 && account.rises.length < risesMax) account.rises.push({ step, watchedMs: account.watchedMs });
    account.step = step;
  }

  /** By this runtime, of the last 24 hours; undefined until it has run for an hour. */
  get writtenPerDay(): number | undefined {
    return this.#perDay('written');
  }

  get deviceWrittenPerDay(): number | undefined {
    return this.#perDay('deviceWritten');
  }

  get written(): number {
    return this.#account.written;
  }

  get deviceWritten(): number {
    return this.#account.deviceWritten;
  }

  get watchedMs(): number {
    return this.#account.watchedMs;
  }

  get rises(): readonly Rise[] {
    return this.#account.rises;
  }

  /** Bytes written for each byte taken; undefined before anything was. */
  get amplification(): number | undefined {
    const { written, accepted } = this.#account;
    return accepted === 0 ? undefined : written / accepted;
  }

  text(): string {
    return header + JSON.stringify(this.#account);
  }

  #perDay(figure: 'written' | 'deviceWritten'): number | undefined {
    const { hours } = this.#account;
    const ms = hours.reduce((sum, hour) => sum + hour.ms, 0);
    return ms < figureMsMin ? undefined : (hours.reduce((sum, hour) => sum + hour[figure], 0) / ms) * dayMs;
  }
}

function parseAccount(text: string): Account | undefined {
  if (!text.startsWith(header)) return undefined;
  try {
    const found: unknown = JSON.parse(text.slice(header.length));
    return isAccount(found) ? found : undefined;
  } catch {
    return undefined;
  }
}

function isAccount(value: unknown): value is Account {
  if (typeof value !== 'object' || value === null) return false;
  const found = value as Partial<Record<keyof Account, unknown>>;
  return (
    typeof found.device === 'string' &&
    [found.watchedMs, found.written, found.deviceWritten, found.accepted, found.step].every(isCount) &&
    isListOf(found.hours, ['ms', 'written', 'deviceWritten'], hoursKept) &&
    isListOf(found.rises, ['step', 'watchedMs'], risesMax)
  );
}

function isListOf(value: unknown, keys: readonly string[], lengthMax: number): boolean {
  return (
    Array.isArray(value) &&
    value.length <= lengthMax &&
    value.every(
      (entry: unknown) =>
        typeof entry === 'object' && entry !== null && keys.every((key) => isCount(Reflect.get(entry, key))),
    )
  );
}

function isCount(value: unknown): boolean {
  return typeof value === 'number' && Number.isFinite(value) && value >= 0;
}
