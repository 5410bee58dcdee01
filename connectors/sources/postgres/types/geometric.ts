/** The built-in geometric types, which have no JSON form of their own on the server: named parts here. */
import type { Value, ValueObject } from '../../../../src/change/value.ts';
import { Malformed } from './malformed.ts';
import { floatOf } from './number.ts';

const brackets = /[()[\]{}<>]/g;

/** The numbers of a geometric value in the order they are printed; the brackets around them carry nothing but `path`'s kind. */
function numbersOf(text: string, expected: string): number[] {
  const numbers = text.replaceAll(brackets, '').split(',');
  if (numbers.includes('')) throw new Malformed(expected);
  return numbers.map(floatOf);
}

function exactly(count: number, text: string, expected: string): number[] {
  const numbers = numbersOf(text, expected);
  if (numbers.length !== count) throw new Malformed(expected);
  return numbers;
}

function pointsOf(text: string, expected: string, count?: number): ValueObject[] {
  const numbers = numbersOf(text, expected);
  if (numbers.length % 2 !== 0 || (count !== undefined && numbers.length !== 2 * count)) throw new Malformed(expected);
  const points: ValueObject[] = [];
  for (let i = 0; i < numbers.length; i += 2) points.push({ x: numbers[i] as number, y: numbers[i + 1] as number });
  return points;
}

/** `(1,2)` is `{x, y}`. */
export function pointOf(text: string): Value {
  const [x, y] = exactly(2, text, 'a point') as [number, number];
  return { x, y };
}

/** `{A,B,C}` is the line Ax + By + C = 0. */
export function lineOf(text: string): Value {
  const [a, b, c] = exactly(3, text, 'a line') as [number, number, number];
  return { a, b, c };
}

/** `[(x1,y1),(x2,y2)]`: two ends. */
export function segmentOf(text: string): Value {
  return pointsOf(text, 'a line segment', 2);
}

/** `(x1,y1),(x2,y2)`: upper right and lower left corner, as the server orders them. */
export function boxOf(text: string): Value {
  return pointsOf(text, 'a box', 2);
}

/** Square brackets for an open path, round ones for a closed one. */
export function pathOf(text: string): Value {
  return { closed: text.startsWith('('), points: pointsOf(text, 'a path') };
}

export function polygonOf(text: string): Value {
  return pointsOf(text, 'a polygon');
}

/** `<(x,y),r>` is `{x, y, radius}`. */
export function circleOf(text: string): Value {
  const [x, y, radius] = exactly(3, text, 'a circle') as [number, number, number];
  return { x, y, radius };
}
