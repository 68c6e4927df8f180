// Counters and gauges by name and labels, in one registry per process.
//
// Whatever is dropped, refused or delayed is counted here with a reason; status and the metrics endpoint read
// the snapshot. A counter handle is fetched once and bumped on the hot path without a look-up.

export interface Counter {
  add(count?: number): void;
}

export interface Metrics {
  /** The counter of this name and these labels; the same handle for the same arguments. */
  counter(name: string, labels?: Readonly<Record<string, string>>): Counter;
  /** A value read when somebody asks. A second registration of the same name and labels replaces the first. */
  gauge(name: string, read: () => number, labels?: Readonly<Record<string, string>>): void;
  snapshot(): readonly MetricSample[];
}

export interface MetricSample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

export function createMetrics(): Metrics {
  const counters = new Map<
    string,
    { labels: Readonly<Record<string, string>>; name: string; value: number; add(count?: number): void }
  >();
  const gauges = new Map<string, { labels: Readonly<Record<string, string>>; name: string; read: () => number }>();
  const keyOf = (name: string, labels: Readonly<Record<string, string>>): string => `${name}${JSON.stringify(labels)}`;
  return {
    counter(name, labels = {}) {
      const key = keyOf(name, labels);
      let counter = counters.get(key);
      if (counter === undefined) {
        counter = {
          name,
          labels,
          value: 0,
          add(count = 1) {
            this.value += count;
          },
        };
        counters.set(key, counter);
      }
      return counter;
    },
    gauge(name, read, labels = {}) {
      gauges.set(keyOf(name, labels), { name, labels, read });
    },
    snapshot: () => [
      ...[...counters.values()].map(({ name, labels, value }) => ({ name, labels, value })),
      ...[...gauges.values()].map(({ name, labels, read }) => ({ name, labels, value: read() })),
    ],
  };
}
