/** The distribution's own: only that one has its package of redis-py, whatever other Python comes first in PATH. */
export const PYTHON = '/usr/bin/python3'
