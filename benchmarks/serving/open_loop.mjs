// Open loop: request i is due at i / rate seconds, whatever became of those before it, and its
// latency counts from then; one that finds no idle connection waits in line, and the wait counts.
// autocannon's own fixed rate is none: each of its connections asks back to back until its share
// of a second is used up, rests until the next second, and latencies are whole milliseconds.
// While it warms up, this program is late itself: those requests are sent, and not measured.
// Reads one JSON object from stdin, prints one.
import { connect } from 'node:net'
import { readFileSync } from 'node:fs'

const given = JSON.parse(readFileSync(0, 'utf8'))
const url = new URL(given.url)
const unmeasured = Math.floor(given.rate * given.warm_up)
const total = unmeasured + Math.floor(given.rate * given.seconds)
const latency = new Float64Array(total)
const lag = new Float64Array(total)
const requests = given.requests.map(bytesOf)
const idle = []
const waiting = []
let [due, done, failed, waited, closed] = [0, 0, 0, 0, 0]
const statuses = {}

function bytesOf ({ method = 'GET', path, headers = {}, body = '' }) {
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`).join('')
  const length = body ? `Content-Length: ${Buffer.byteLength(body)}\r\n` : ''
  const head = `${method} ${path} HTTP/1.1\r\nHost: ${url.host}\r\n${lines}${length}\r\n`
  return Buffer.from(head + body)
}

function opened () {
  return new Promise((resolve, reject) => {
    const socket = connect(Number(url.port), url.hostname, () => resolve(socket))
    socket.setNoDelay(true)
    socket.once('error', reject)
    let seen = Buffer.alloc(0)
    let missing = 0
    socket.on('data', chunk => {
      if (missing > 0) {
        missing -= chunk.length
        if (missing <= 0) answered(socket)
        return
      }
      seen = seen.length ? Buffer.concat([seen, chunk]) : chunk
      const end = seen.indexOf('\r\n\r\n')
      if (end < 0) return
      const head = seen.latin1Slice(0, end)
      const status = head.slice(9, 12)
      statuses[status] = (statuses[status] ?? 0) + 1
      if (status[0] !== '2') failed++
      const length = Number(/\r\ncontent-length: *(\d+)/i.exec(head)[1])
      missing = length - (seen.length - end - 4)
      seen = Buffer.alloc(0)
      if (missing <= 0) answered(socket)
    })
    socket.on('close', () => { if (done < total) closed++ })
  })
}

function answered (socket) {
  latency[socket.request] = performance.now() - (begun + socket.request / given.rate * 1000)
  done++
  if (waiting.length) ask(socket, waiting.shift())
  else idle.push(socket)
}

function ask (socket, i) {
  lag[i] = performance.now() - (begun + i / given.rate * 1000)
  socket.request = i
  socket.write(requests[i % requests.length])
}

for (let i = 0; i < given.connections; i++) idle.push(await opened())
const begun = performance.now() + 50
const until = begun + (given.warm_up + given.seconds) * 1000 + 30_000

function tick () {
  const now = performance.now()
  while (due < total && begun + due / given.rate * 1000 <= now) {
    const socket = idle.pop()
    if (socket) {
      ask(socket, due)
    } else {
      waited++
      waiting.push(due)
    }
    due++
  }
  if (done < total && closed < given.connections && now < until) {
    // A timer may come more than a millisecond late: close to what is due, this spins.
    const next = begun + due / given.rate * 1000
    if (due < total && next - now < 2.5) setImmediate(tick)
    else setTimeout(tick, 1)
  } else {
    report()
  }
}

function report () {
  const quantile = (values, q) => values[Math.min(values.length - 1, Math.floor(q * values.length))]
  const sorted = latency.subarray(unmeasured).sort()
  const lags = lag.subarray(unmeasured).sort()
  process.stdout.write(JSON.stringify({
    ok: done - failed,
    failed: failed + total - done,
    statuses,
    waited,
    rate: given.rate,
    latency_ms: {
      p50: quantile(sorted, 0.5),
      p99: quantile(sorted, 0.99),
      p999: quantile(sorted, 0.999),
      max: sorted[sorted.length - 1]
    },
    lag_ms_p99: quantile(lags, 0.99)
  }), () => process.exit(0))
}

tick()
