/** Runs the capturing process, so that its CPU time and memory are its own. */
import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { CaptureOrder, CaptureReport } from './postgres-capture-child.ts';

export async function captureInChild(order: CaptureOrder): Promise<CaptureReport> {
  const child = fork(fileURLToPath(new URL('./postgres-capture-child.ts', import.meta.url)), { stdio: 'inherit' });
  return new Promise((resolve, reject) => {
    child.once('message', (message) => resolve(message as CaptureReport));
    child.once('exit', (code) => reject(new Error(`the capturing process ended with ${code}`)));
    child.send(order);
  });
}
