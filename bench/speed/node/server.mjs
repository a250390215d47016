// @tus/server with @tus/file-store, for bench/speed. PORT and FOLDER come from the environment.
import { FileStore } from "@tus/file-store";
import { Server } from "@tus/server";

const { PORT, FOLDER } = process.env;

const datastore = new FileStore({ directory: FOLDER });

new Server({ path: "/files", datastore }).listen({ host: "127.0.0.1", port: Number(PORT) }, () =>
  console.log("listening"),
);
