# load
export NETSURGERY_PROTOTXT=filters.prototxt NETSURGERY_SIZE=image
netsurgery init filters.prototxt -o random.caffemodel --seed 1
netsurgery inspect filters.prototxt random.caffemodel
# show
netsurgery features digits_canvas.png --weights random.caffemodel --blob conv -o random.npz --picture random.png
# bias
netsurgery edit filters.prototxt random.caffemodel -o raised.caffemodel 'conv[1][0]=1'
netsurgery features digits_canvas.png --weights raised.caffemodel --blob conv -o raised.npz
# kernels
netsurgery edit filters.prototxt raised.caffemodel -o designed.caffemodel \
    'conv[0][0]=gaussian:sigma=1' 'conv[0][1:]=zero' \
    'conv[0][1,:,1:-1,1:-1]=sobel-y' 'conv[0][2,:,1:-1,1:-1]=sobel-x'
netsurgery features digits_canvas.png --weights designed.caffemodel --blob conv -o designed.npz --picture designed.png
