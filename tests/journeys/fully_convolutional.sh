# transplant
netsurgery convert digits.prototxt digits.caffemodel --labels digits_labels.txt -o converted
# differences
netsurgery diff --text digits.prototxt converted/digits_full_conv.prototxt || true
# shapes
netsurgery inspect converted/digits_full_conv.prototxt converted/digits_full_conv.caffemodel
# map
cd converted
netsurgery classify-map ../digits_canvas.png --size image --npy map.npy --picture sevens.png --class 7
