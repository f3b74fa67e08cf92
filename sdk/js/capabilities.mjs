// Every capability of the host, and those that every tool has.

export { clock, job, log, output, random } from './capabilities/always.mjs';
export { filesystem } from './capabilities/filesystem.mjs';
export { http } from './capabilities/http.mjs';
export { documents, interact, jobNodes, lock, program, secret, server, stepOutputs } from './capabilities/job.mjs';
export { connection, datagrams, netProbe } from './capabilities/network.mjs';
export { snmp } from './capabilities/snmp.mjs';
export { target } from './capabilities/target.mjs';
