# The commands in a container:
#
#     docker build -t netsurgery .                            # the embedded engine
#     docker build -t netsurgery:caffe --target caffe .       # and real Caffe 1.0
#     docker run --rm --network none --user "$(id -u):$(id -g)" -v "$PWD:/data" \
#         netsurgery convert deploy.prototxt model.caffemodel
#
# The build needs the network; running needs none.

FROM python:3.13-slim-bookworm AS slim
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
COPY requirements/ /build/requirements/
RUN pip install --require-hashes --only-binary :all: -r /build/requirements/runtime.txt
COPY . /build/netsurgery
RUN pip install --no-deps /build/netsurgery && rm -rf /build && netsurgery --version
RUN useradd --create-home surgeon && mkdir /data && chown surgeon /data
USER surgeon
WORKDIR /data
ENTRYPOINT ["netsurgery"]

FROM slim AS caffe
USER root
ENV NETSURGERY_CAFFE_PREFIX=/opt/caffe
RUN netsurgery caffe install --quiet && netsurgery caffe info
USER surgeon

# Without --target: the slim one.
FROM slim
