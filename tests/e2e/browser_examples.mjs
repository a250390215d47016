// Drives the pages in examples/ in headless Chromium; prints JSON, the page's last word and the
// offsets of the PATCH requests that it sent:
//   node browser_examples.mjs CHROMIUM tus  PAGE ENDPOINT TOKEN FILE
//   node browser_examples.mjs CHROMIUM rest PAGE FILE
import { chromium } from 'playwright-core'

const [executablePath, scenario, address, ...words] = process.argv.slice(2)

async function tus(page, [endpoint, token, file]) {
  await page.fill('#endpoint', endpoint)
  await page.fill('#token', token)
  await page.setInputFiles('#file', file)
  const network = await page.context().newCDPSession(page)
  await network.send('Network.enable')
  await limit(network, 4 * 2 ** 20) // so slow that there is time to pause
  await page.click('form button >> nth=0')
  await page.waitForFunction(() => document.querySelector('#progress').value > 0.05)
  await page.click('#pause')
  await page.waitForFunction(() => document.querySelector('#state').value === 'Paused')
  await limit(network, -1)
  await page.click('#pause')
  return ending(page, '#state', 'Done: ')
}

async function rest(page, [file]) {
  await page.setInputFiles('input[type=file]', file)
  await page.click('button')
  return ending(page, 'output', 'Stored: ')
}

// Lets the page send so many bytes per second; -1: as many as it can.
function limit(network, uploadThroughput) {
  const conditions = { offline: false, latency: 0, downloadThroughput: -1, uploadThroughput }
  return network.send('Network.emulateNetworkConditions', conditions)
}

// The text of an output when the upload is over; throws when it is not the wanted end.
async function ending(page, selector, wanted) {
  const over = /^(Done|Stored|Failed|.*rror)/
  const handle = await page.waitForFunction(
    ([selector, over]) => {
      const text = document.querySelector(selector).value
      return new RegExp(over).test(text) && text
    },
    [selector, over.source],
  )
  const text = await handle.jsonValue()
  if (!text.startsWith(wanted)) throw new Error(text)
  return text.slice(wanted.length)
}

const browser = await chromium.launch({ executablePath, args: ['--no-sandbox'] })
try {
  const page = await browser.newPage()
  page.on('pageerror', (error) => console.error(error))
  page.on('console', (message) => console.error(message.text()))
  const offsets = []
  page.on('request', (request) => {
    if (request.method() === 'PATCH') offsets.push(Number(request.headers()['upload-offset']))
  })
  await page.goto(address)
  const last = await { tus, rest }[scenario](page, words)
  console.log(JSON.stringify({ last, offsets }))
} finally {
  await browser.close()
}
