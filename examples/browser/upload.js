// The whole of an upload page: start, progress, pause, and going on after a reload.
const element = (id) => document.getElementById(id)
const pause = element('pause')
const state = element('state')
let upload

element('endpoint').value = 'http://127.0.0.1:8000/files/'

element('form').addEventListener('submit', async (event) => {
  event.preventDefault()
  const file = element('file').files[0]
  upload?.abort()
  upload = new tus.Upload(file, {
    endpoint: element('endpoint').value,
    headers: { Authorization: `Bearer ${element('token').value}` },
    metadata: { filename: file.name, filetype: file.type },
    // No chunkSize: one request carries the whole file, and a cut costs nothing that the server has.
    // Behind a proxy that caps or buffers bodies set one below its limit (Cloudflare: 50 * 2 ** 20).
    retryDelays: [0, 1000, 3000, 5000, 10000, 20000],
    removeFingerprintOnSuccess: true,
    onProgress: (sent, total) => show(sent / total, `${Math.floor((100 * sent) / total)} %`),
    onSuccess: () => finish(`Done: ${upload.url}`),
    onError: (error) => finish(`Failed: ${error.message}`),
  })

  // The browser remembers unfinished uploads; the same file goes on where it stopped.
  const [previous] = await upload.findPreviousUploads()
  if (previous) upload.resumeFromPreviousUpload(previous)
  pause.disabled = false
  pause.textContent = 'Pause'
  upload.start()
})

pause.addEventListener('click', async () => {
  if (pause.textContent === 'Pause') {
    pause.textContent = 'Resume'
    await upload.abort()
    state.value = 'Paused'
  } else {
    pause.textContent = 'Pause'
    upload.start()
  }
})

function show(part, text) {
  element('progress').value = part
  state.value = text
}

function finish(text) {
  pause.disabled = true
  state.value = text
}
