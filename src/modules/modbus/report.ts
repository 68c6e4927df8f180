// Which samples are worth publishing.
//
// Pure but for its memory of what was published last. The dead-band is measured from the last PUBLISHED value,
// not the last read one: a slow drift would otherwise stay below it for ever. A change of quality always goes
// out, and so does any value after `maxSilenceMs`. Tags without a report rule are always published.

import type { Sample } from './decode.ts';
import type { Tag } from './settings.ts';

interface Published {
  readonly sample: Sample;
  readonly atMs: number;
}

export class Reporter {
  readonly #published = new Map<string, Published>();

  /** The samples to publish now, in the given order; remembers them as published. */
  select(samples: readonly (readonly [Tag, Sample])[], nowMs: number): readonly (readonly [Tag, Sample])[] {
    const selected = samples.filter(([tag, sample]) =>
      isDue(tag, sample, { last: this.#published.get(tag.name), nowMs }),
    );
    for (const [tag, sample] of selected) this.#published.set(tag.name, { sample, atMs: nowMs });
    return selected;
  }

  /** Everything counts as new again. */
  forget(): void {
    this.#published.clear();
  }
}

function isDue(
  tag: Tag,
  sample: Sample,
  { last, nowMs }: { readonly last: Published | undefined; readonly nowMs: number },
): boolean {
  const { onChange, deadband, maxSilenceMs } = tag.report;
  if (!onChange || last === undefined || last.sample.q !== sample.q) return true;
  if (maxSilenceMs > 0 && nowMs - last.atMs >= maxSilenceMs) return true;
  if (typeof sample.v === 'number' && typeof last.sample.v === 'number') {
    return deadband === 0 ? sample.v !== last.sample.v : Math.abs(sample.v - last.sample.v) >= deadband;
  }
  return sample.v !== last.sample.v;
}
