/** What book/_ext/live_figures.py writes as files.js. */
declare const LIVE_FILES: { classes: string[]; surfaces: { name: string; pixels: string }[]; networks: Record<string, string> };
