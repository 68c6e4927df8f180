// The progress of a pull, out of the engine's stream: one JSON object a line, pure.
//
//   {"status":"Downloading","id":"4f1d…","progressDetail":{"current":1024,"total":40960}}
//   {"status":"Download complete","id":"4f1d…"}
//   {"error":"manifest unknown: …"}                   the pull has failed, although the status of the answer was 200
//
// Docker tells bytes of each layer, podman of some; so the text counts bytes where they are known, and layers otherwise.

import { enginePullLineBytesMax } from '../limits.ts';
import { isJsonObject, type JsonObject, type JsonValue, parseJson } from '../model/json.ts';

interface Layer {
  current: number;
  total: number;
  done: boolean;
}

const layersMax = 1024;
const bytesPerMegabyte = 1_000_000;
const wholePercent = 100;
const doneStatuses = [
  'download complete',
  'pull complete',
  'already exists',
  'verifying checksum',
  'extracting',
  'copying config',
];

export class PullProgress {
  #pending = '';
  readonly #layers = new Map<string, Layer>();
  readonly #decoder = new TextDecoder();
  /** What the engine said when it gave up. */
  error: string | undefined;

  take(chunk: Uint8Array): void {
    const lines = (this.#pending + this.#decoder.decode(chunk, { stream: true })).split('\n');
    this.#pending = (lines.pop() ?? '').slice(-enginePullLineBytesMax);
    for (const line of lines) this.#line(line);
  }

  /** The last line may come without its newline. */
  end(): void {
    this.#line(this.#pending);
    this.#pending = '';
  }

  get text(): string {
    const layers = [...this.#layers.values()];
    const total = layers.reduce((sum, layer) => sum + layer.total, 0);
    const current = layers.reduce(
      (sum, layer) => sum + (layer.done ? layer.total : Math.min(layer.current, layer.total)),
      0,
    );
    const done = layers.filter((layer) => layer.done).length;
    if (total > 0 && current < total)
      return `pulling image: ${Math.floor((current / total) * wholePercent)} % of ${(total / bytesPerMegabyte).toFixed(1)} MB`;
    return layers.length === 0 ? 'pulling image' : `pulling image: ${done} of ${layers.length} layers`;
  }

  #line(line: string): void {
    const parsed = line.trim() === '' ? undefined : parseJson(line);
    if (parsed?.ok !== true || !isJsonObject(parsed.value)) return;
    const { error, id, status, progressDetail } = parsed.value;
    const reason = error ?? detailOf(parsed.value);
    if (typeof reason === 'string' && reason !== '') this.error = reason;
    if (typeof id !== 'string' || typeof status !== 'string' || status.startsWith('Pulling from')) return;
    if (!this.#layers.has(id) && this.#layers.size >= layersMax) return;
    const layer = this.#layers.get(id) ?? { current: 0, total: 0, done: false };
    if (isJsonObject(progressDetail)) {
      layer.current = count(progressDetail['current']) ?? layer.current;
      layer.total = count(progressDetail['total']) ?? layer.total;
    }
    if (doneStatuses.some((text) => status.toLowerCase().startsWith(text))) layer.done = true;
    this.#layers.set(id, layer);
  }
}

function detailOf(line: JsonObject): JsonValue | undefined {
  const detail = line['errorDetail'];
  return isJsonObject(detail) ? detail['message'] : undefined;
}

function count(value: JsonValue | undefined): number | undefined {
  return typeof value === 'number' && value >= 0 ? value : undefined;
}
