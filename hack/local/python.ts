/** The distribution's own: only that one has its package of redis-py, whatever other Python comes first in PATH. */
export const PYTHON = '/usr/bin/python3'

/** Ends with 0 where it and redis-py are there. */
export const PYTHON_CHECK: readonly [string, ...string[]] = [PYTHON, '-c', 'import redis.asyncio']
