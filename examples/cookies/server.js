// A page, and a cart that has to know whose it is. Neither sees a token: the gateway keeps them in cookies.
import { createServer } from 'node:http'

const page = `<!doctype html>
<title>Cart</title>
<form><input name="username" value="ada"><input name="password" type="password"><button>Sign in</button></form>
<button id="cart">Cart</button> <button id="out">Sign out</button>
<pre></pre>
<script>
  const say = async (answer) => {
    document.querySelector('pre').textContent = answer.status + ' ' + (await answer.text())
  }
  document.querySelector('form').onsubmit = async (event) => {
    event.preventDefault()
    const fields = Object.fromEntries(new FormData(event.target))
    const headers = { 'content-type': 'application/json' }
    const body = JSON.stringify({ ...fields, cookie: true })
    say(await fetch('/auth/login', { method: 'POST', headers, body }))
  }
  document.querySelector('#cart').onclick = async () => say(await fetch('/cart', { method: 'POST' }))
  document.querySelector('#out').onclick = async () => say(await fetch('/auth/logout', { method: 'POST' }))
</script>
`

createServer(({ url, headers }, response) => {
  if (url === '/') response.setHeader('content-type', 'text/html').end(page)
  else response.end(`the cart of ${headers['x-user-id']}; cookies seen: ${headers.cookie ?? 'none'}\n`)
}).listen(Number(process.env.PORT), process.env.HOST)
