// SPDX-License-Identifier: Apache-2.0
// A stock client, @grpc/grpc-js with the .proto files: network_client.js PROTO_DIR HOST:PORT CA TOKEN INSTANCE ECHO_INSTANCE. Prints one JSON object.
'use strict';
const crypto = require('crypto');
const fs = require('fs');
const grpc = require('@grpc/grpc-js');
const loader = require('@grpc/proto-loader');

const [protos, address, caFile, token, instance, echo] = process.argv.slice(2);
const files = ['common', 'daemon', 'instances', 'channels'].map((name) => `pwemu/v1/${name}.proto`);
const {v1} = grpc.loadPackageDefinition(loader.loadSync(files, {includeDirs: [protos], keepCase: true, longs: Number, defaults: true})).pwemu;

function credentials(secret) {
  const ssl = grpc.credentials.createSsl(fs.readFileSync(caFile));
  const call = grpc.credentials.createFromMetadataGenerator((_, done) => {
    const metadata = new grpc.Metadata();
    metadata.add('authorization', `Bearer ${secret}`);
    done(null, metadata);
  });
  return grpc.credentials.combineChannelCredentials(ssl, call);
}

const deadline = () => ({deadline: Date.now() + 30000});

function info(secret) {
  const client = new v1.Daemon(address, credentials(secret), {});
  return new Promise((done) => client.Info({}, deadline(), (error, reply) => {
    client.close();
    done(error ? {code: error.code, reason: error.metadata.get('pwemu-reason')[0]} : reply);
  }));
}

function read(channels, bytes) {
  return new Promise((done, fail) => {
    const hash = crypto.createHash('sha256');
    let got = 0;
    const call = channels.Read({instance: {name: instance}, from: {offset: 0}, follow: true}, deadline());
    call.on('data', ({data}) => {
      if (data.offset !== got) fail(new Error(`offset ${data.offset} at ${got}`));
      hash.update(data.bytes);
      got += data.bytes.length;
      if (got >= bytes) call.cancel();
    });
    call.on('error', (error) => (error.code === grpc.status.CANCELLED ? done({got, sha256: hash.digest('hex')}) : fail(error)));
  });
}

function talk(channels, text) {
  return new Promise((done, fail) => {
    let got = '';
    const call = channels.Attach(deadline());
    call.on('data', ({data}) => {
      got += data ? data.bytes.toString('latin1') : '';
      if (got.includes(text)) call.cancel();
    });
    call.on('error', (error) => (error.code === grpc.status.CANCELLED ? done(got.includes(text)) : fail(error)));
    call.write({open: {instance: {name: echo}, write: true}});
    call.write({input: Buffer.from(text)});
  });
}

async function main() {
  const channels = new v1.Channels(address, credentials(token), {});
  const result = {
    pid: (await info(token)).pid,
    wrong: await info('00000000.' + 'x'.repeat(43)),
    read: await read(channels, 4 << 20),
    echoed: await talk(channels, 'hello from node'),
  };
  channels.close();
  console.log(JSON.stringify(result));
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
