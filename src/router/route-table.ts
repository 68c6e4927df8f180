// The routes in force, made to answer one question quickly: which queues get this message?
//
//   message ─ source ─► its selection ─► candidates ─► conditions that hold ─► one target for each sink
//             (looked up)  (made once for each route's source)   (only those that can hold)
//
// A selection holds the routes whose source matches, without those that can never win: a route without a condition
// decides over all of a higher number to its sink. Of conditions that need a value of the same property, or a bound of
// the same number, only those are evaluated that the message's value satisfies (candidate-index.ts).
//
// Of several routes to one sink the smallest priority number decides, then the order they were given in.

import { routedSourcesMax } from '../limits.ts';
import { type Message, messageSource } from '../model/message.ts';
import { indexCandidates, type Lookup } from './candidate-index.ts';
import type { CheckedNode } from './condition/checker.ts';
import { compileNode, SharedValues } from './condition/compiler.ts';
import { compileCondition } from './condition/condition.ts';
import { MessageView } from './condition/message-view.ts';
import type { StoreTarget } from './ports.ts';
import { sourceMatches } from './route-match.ts';
import type { Route } from './route-set.ts';

interface Candidate {
  readonly target: StoreTarget;
  /** Of its sink, counted over all routes. */
  readonly sink: number;
  /** The smaller decides. */
  readonly rank: number;
  /** Undefined: always. */
  readonly holds: ((view: MessageView) => boolean) | undefined;
  readonly condition: CheckedNode | undefined;
}

/** The candidates of the messages whose source begins with the sources of certain routes. */
interface Selection {
  /** The answer, when nothing depends on the message. */
  readonly fixed: readonly StoreTarget[] | undefined;
  readonly always: readonly Candidate[];
  readonly lookups: readonly Lookup<Candidate>[];
}

const msPerSecond = 1000;

export class RouteTable {
  readonly #routes: readonly (Route & { readonly candidate: Candidate })[];
  readonly #prefixes: ReadonlySet<string>;
  /** By message source; many share a selection. */
  readonly #selections = new Map<string, Selection>();
  readonly #selectionByPrefix = new Map<string, Selection>();
  readonly #shared = new SharedValues();
  readonly #view: MessageView;
  /** By sink, and which of them are set: kept between messages, so that none is made for each. */
  readonly #best: (Candidate | undefined)[] = [];
  readonly #touched: number[] = [];

  constructor(routes: readonly Route[], options: { readonly deviceId?: string | undefined } = {}) {
    this.#view = new MessageView(options.deviceId);
    const sinks = [...new Set(routes.map(({ sink }) => sink))];
    const ranks = rankOf(routes);
    this.#prefixes = new Set(routes.map(({ sourcePrefix }) => sourcePrefix));
    this.#routes = routes.map((route, at) => {
      const { condition, sink } = route;
      const candidate = {
        target: targetOf(route),
        sink: sinks.indexOf(sink),
        rank: ranks[at] as number,
        holds: condition === undefined ? undefined : compileCondition(condition, this.#shared),
        condition: condition?.root,
      };
      return { ...route, candidate };
    });
    this.#view.reserve(this.#shared.size);
  }

  /** Queues that the routes fill. */
  sinks(): readonly string[] {
    return [...new Set(this.#routes.map(({ sink }) => sink))];
  }

  targetsOf(message: Message): readonly StoreTarget[] {
    const selection = this.#selectionOf(messageSource(message));
    if (selection.fixed !== undefined) return selection.fixed;
    this.#view.look(message);
    for (const candidate of selection.always) this.#consider(candidate);
    for (const lookup of selection.lookups) lookup(this.#view, this.#considerOne);
    this.#view.look(undefined);
    return this.#takeBest();
  }

  /** True when some route takes messages of this source, whatever its condition. */
  wants(source: string): boolean {
    const { fixed } = this.#selectionOf(source);
    return fixed === undefined || fixed.length > 0;
  }

  readonly #considerOne = (candidate: Candidate): void => this.#consider(candidate);

  #consider(candidate: Candidate): void {
    const best = this.#best[candidate.sink];
    if (best !== undefined && best.rank < candidate.rank) return;
    if (candidate.holds !== undefined && !candidate.holds(this.#view)) return;
    if (best === undefined) this.#touched.push(candidate.sink);
    this.#best[candidate.sink] = candidate;
  }

  #takeBest(): readonly StoreTarget[] {
    const touched = this.#touched;
    if (touched.length > 1) touched.sort((a, b) => a - b);
    const targets: StoreTarget[] = [];
    for (const sink of touched) {
      targets.push((this.#best[sink] as Candidate).target);
      this.#best[sink] = undefined;
    }
    touched.length = 0;
    return targets;
  }

  #selectionOf(source: string): Selection {
    const known = this.#selections.get(source);
    if (known !== undefined) return known;
    // Sources that begin with each other form a chain: the longest that matches tells all that match.
    let longest = '';
    for (const prefix of this.#prefixes)
      if (prefix.length > longest.length && sourceMatches(prefix, source)) longest = prefix;
    let selection = this.#selectionByPrefix.get(longest);
    if (selection === undefined) {
      const matching = this.#routes.filter(({ sourcePrefix }) => sourceMatches(sourcePrefix, source));
      selection = this.#select(matching.map(({ candidate }) => candidate));
      this.#selectionByPrefix.set(longest, selection);
    }
    if (this.#selections.size >= routedSourcesMax) this.#selections.clear();
    this.#selections.set(source, selection);
    return selection;
  }

  #select(matching: readonly Candidate[]): Selection {
    const able = withoutLosers(matching);
    if (able.every(({ holds }) => holds === undefined)) {
      const inOrder = [...able].sort((a, b) => a.sink - b.sink);
      return { fixed: inOrder.map(({ target }) => target), always: [], lookups: [] };
    }
    const { lookups, rest } = indexCandidates(
      able,
      ({ condition }) => condition,
      (node) => compileNode(node, this.#shared),
    );
    // The ones that decide first come first: what loses anyway is then not evaluated.
    return { fixed: undefined, always: [...rest].sort((a, b) => a.rank - b.rank), lookups };
  }
}

/** Without the candidates that come after one to the same sink that always holds. */
function withoutLosers(candidates: readonly Candidate[]): readonly Candidate[] {
  const certain = new Map<number, number>();
  for (const { holds, sink, rank } of candidates) {
    if (holds === undefined) certain.set(sink, Math.min(rank, certain.get(sink) ?? rank));
  }
  return candidates.filter(({ sink, rank }) => rank <= (certain.get(sink) ?? rank));
}

/** The place of each route in the order of priority, then of the deployment. */
function rankOf(routes: readonly Route[]): readonly number[] {
  const order = routes.map((_, at) => at);
  order.sort((a, b) => (routes[a] as Route).priority - (routes[b] as Route).priority || a - b);
  const ranks = new Array<number>(routes.length);
  for (const [rank, at] of order.entries()) ranks[at] = rank;
  return ranks;
}

function targetOf({ sink, priority, timeToLiveSecs }: Route): StoreTarget {
  const timeToLiveMs = timeToLiveSecs === 0 ? undefined : timeToLiveSecs * msPerSecond;
  return { queue: sink, priority, live: false, timeToLiveMs };
}
