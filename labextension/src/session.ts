// Which kernel a part of the page belongs to. The plugin knows the notebooks; what is drawn in one asks here.

/** What comes over a comm. */
export interface Hearer {
  heard(data: unknown): void;
  /** The kernel has closed it: there, nobody knows the target, or does no longer. */
  closed(): void;
}

/** A conversation with the kernel, by a comm. */
export interface Conversation {
  /** Harmless once the comm is gone. */
  send(message: object): void;
  close(): void;
}

/** What happens to the kernel of a notebook. */
export interface Watcher {
  /** A cell of this code has been run: what is defined may be something else now. */
  executed(code: string): void;
  /** There is another kernel, the same one began anew, or it has gone: nobody remembers any conversation. */
  lost(): void;
}

/** The kernel of one notebook. */
export interface Session {
  /** Open a comm; null without a kernel. */
  connect(target: string, hearer: Hearer): Conversation | null;
  /** Returns what undoes it. */
  watch(watcher: Watcher): () => void;
}

export type Finder = (node: Node) => Session | null;

let finder: Finder = () => null;

/** Say how sessions are found; without it nothing on the page has a kernel. */
export function findBy(find: Finder): void {
  finder = find;
}

/** The session of the notebook that shows `node`; null where there is none. */
export function sessionOf(node: Node): Session | null {
  return finder(node);
}
