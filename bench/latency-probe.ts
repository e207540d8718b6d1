/** PINGs 127.0.0.1:<port> about each millisecond until its standard input ends, then prints the p99 in milliseconds. */
import { connect } from 'node:net'

const socket = connect(Number(process.argv[2]), '127.0.0.1')
const times: number[] = []
let sentAt = 0
let over = false
const send = (): void => {
  sentAt = performance.now()
  socket.write('PING\r\n')
}
socket.setNoDelay(true)
socket.once('connect', () => {
  console.log('ready')
  send()
})
socket.on('data', () => {
  times.push(performance.now() - sentAt)
  if (over) return finish()
  setTimeout(send, 1)
})
process.stdin.resume().once('end', () => {
  over = true
})

function finish(): void {
  times.sort((a, b) => a - b)
  console.log(times[Math.floor(times.length * 0.99)] ?? Number.NaN)
  socket.destroy()
}
