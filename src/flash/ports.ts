// What the wear accounting needs from outside, in its own words; the gateway plugs in store/.

export interface WearStore {
  /** Body bytes of messages and bytes of MQTT state that were committed since the start. */
  readonly acceptedBytes: number;
  state(key: string): Promise<string | undefined>;
  saveState(key: string, value: string): Promise<void>;
  /** The longest a message waits for company from now on; undefined: as configured. */
  lengthenCommits(delayMs: number | undefined): void;
}
