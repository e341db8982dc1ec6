// Closed loop: as many requests as so many connections get answered. Reads one JSON object from
// stdin, prints one. Every connection has requests of its own; in a request {n} becomes a number
// that is given once.
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'

const given = JSON.parse(readFileSync(0, 'utf8'))
const autocannon = createRequire(given.modules + '/')('autocannon')
let connection = 0
let n = given.first ?? 0

function numbered (request) {
  const number = String(n++)
  return {
    ...request,
    path: request.path.replaceAll('{n}', number),
    body: request.body?.replaceAll('{n}', number)
  }
}

const result = await autocannon({
  url: given.url,
  connections: given.connections,
  duration: given.seconds,
  timeout: 30,
  setupClient (client) {
    const mine = given.requests.filter((_, i) => i % given.connections === connection)
    connection++
    if (given.numbered) for (const request of mine) request.setupRequest = numbered
    client.setRequests(mine)
  }
})
process.stdout.write(JSON.stringify({
  ok: result['2xx'],
  failed: result.non2xx + result.errors + result.timeouts,
  statuses: result.statusCodeStats,
  seconds: result.duration,
  next: n,
  latency_ms: { p50: result.latency.p50, p99: result.latency.p99, p999: result.latency.p99_9 }
}))
