// @tus/server with @tus/s3-store, for bench/s3. Settings come from the environment: PORT,
// S3_ENDPOINT_URL, S3_BUCKET_NAME, S3_REGION_NAME, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, and
// CHECKSUMS, the SDK's requestChecksumCalculation, when its default shall not hold.
import { S3Store } from "@tus/s3-store";
import { Server } from "@tus/server";

const { PORT, S3_ENDPOINT_URL, S3_BUCKET_NAME, S3_REGION_NAME, CHECKSUMS } = process.env;

const datastore = new S3Store({
  s3ClientConfig: {
    bucket: S3_BUCKET_NAME,
    endpoint: S3_ENDPOINT_URL,
    region: S3_REGION_NAME,
    forcePathStyle: true,
    ...(CHECKSUMS && { requestChecksumCalculation: CHECKSUMS }),
  },
});

new Server({ path: "/files", datastore }).listen({ host: "127.0.0.1", port: Number(PORT) }, () =>
  console.log("listening"),
);
