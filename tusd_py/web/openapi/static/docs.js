// Shows the document. Everything is relative to this page, so that a prefix before it does no harm,
// and nothing of Scalar's that would ask another host is on.

const here = new URL(".", location.href);

Scalar.createApiReference("#reference", {
  url: new URL("openapi.json", here).href,
  servers: [{ url: here.href.replace(/\/$/, ""), description: "This server." }],
  agent: { disabled: true },
  mcp: { disabled: true },
  telemetry: false,
  withDefaultFonts: false,
  hideClientButton: true,
  showDeveloperTools: "never",
  persistAuth: false,
  defaultOpenAllTags: true,
});
