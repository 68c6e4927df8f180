// One level of the tree of retained topics, and those below it in the order in which they came.
//
// Whoever walks the tree remembers the level it stands at and the ordinal of the child it saw last, and nothing that
// the tree would have to keep for it: a subscriber may take days to read what is retained. The iterator of a Map would
// hold every table the Map has outgrown since, without end where topics come and go.
//
//   order   [1 a] [2 gone] [5 b] [6 c]     after(2) ──► 5
//
// Those that are gone stay in the order until they are half of it. Ordinals begin anew when the last child is gone:
// what came since is younger than any walk that still stands here. Most levels of a deep topic have one child, and it
// stands there without a table.

export class Level<Message> {
  readonly name: string;
  /** Grows from child to child; 0 is the root. */
  readonly ordinal: number;
  message: Message | undefined;
  #only: Level<Message> | undefined;
  /** All of them, when there were several at a time. */
  #children: Children<Message> | undefined;
  #isGone = false;

  constructor(name = '', ordinal = 0) {
    this.name = name;
    this.ordinal = ordinal;
  }

  get isLeaf(): boolean {
    return this.#only === undefined && this.#children === undefined;
  }

  child(name: string): Level<Message> | undefined {
    return this.#only?.name === name ? this.#only : this.#children?.byName.get(name);
  }

  /** The child that came next after the one of `ordinal`; after 0, the first. */
  after(ordinal: number): Level<Message> | undefined {
    if (this.#only !== undefined) return this.#only.ordinal > ordinal ? this.#only : undefined;
    const order = this.#children?.order;
    if (order === undefined) return undefined;
    let at = 0;
    for (let end = order.length; at < end; ) {
      const middle = (at + end) >>> 1;
      if ((order[middle] as Level<Message>).ordinal <= ordinal) at = middle + 1;
      else end = middle;
    }
    for (let child = order[at]; child !== undefined; child = order[++at]) if (!child.#isGone) return child;
    return undefined;
  }

  /** There must be none of this name. */
  add(name: string): Level<Message> {
    const only = this.#only;
    if (only !== undefined) {
      this.#children = { byName: new Map([[only.name, only]]), order: [only] };
      this.#only = undefined;
    }
    if (this.#children === undefined) {
      this.#only = new Level<Message>(name, 1);
      return this.#only;
    }
    const { byName, order } = this.#children;
    const child = new Level<Message>(name, (order.at(-1)?.ordinal ?? 0) + 1);
    byName.set(name, child);
    order.push(child);
    return child;
  }

  remove(child: Level<Message>): void {
    if (this.#only === child) this.#only = undefined;
    const children = this.#children;
    if (children?.byName.delete(child.name) !== true) return;
    child.#isGone = true;
    const { byName, order } = children;
    if (byName.size === 0) this.#children = undefined;
    else if (byName.size * 2 < order.length) children.order = order.filter((one) => !one.#isGone);
  }
}

interface Children<Message> {
  readonly byName: Map<string, Level<Message>>;
  /** By ordinal. */
  order: Level<Message>[];
}
