/** Routes about the generations of indices: what there is, showing readers another, dropping one. */
import type { Route } from './routes.ts';
import { json, required, wholeNumber } from './answers.ts';

export const generationRoutes: Readonly<Record<string, Route>> = {
  '/v1/generations': {
    method: 'GET',
    need: 'state',
    answer: ({ query }, { subject, scrubber }) => json({ generations: subject.generations(query.get('index') ?? undefined).map((one) => ({ ...one, error: scrubber.value(one.error) })) }),
  },
  '/v1/generations/promote': {
    method: 'POST',
    need: 'command',
    answer: ({ query }, { subject }) => {
      const { index, generation } = subject.promote(required(query, 'index'), wholeNumber(query, 'generation', 0));
      return json({ index, generation, promoted: true }, 202);
    },
  },
  '/v1/generations/drop': {
    method: 'POST',
    need: 'command',
    answer: async ({ query, signal }, { subject }) => {
      const at = query.get('at');
      if (at !== null) {
        const left = { index: required(query, 'index'), generation: wholeNumber(query, 'generation', 0) };
        await subject.dropLeft(left.index, left.generation, at, signal);
        return json({ ...left, dropped: true });
      }
      const { index, generation } = subject.drop(required(query, 'index'), wholeNumber(query, 'generation', 0));
      return json({ index, generation, dropped: true }, 202);
    },
  },
};
