# transplant
import netsurgery as ns

settings = ns.Settings(labels="digits_labels.txt")
conversion = ns.convert("digits.prototxt", "digits.caffemodel", "converted", settings=settings)

# differences
print(ns.diff("digits.prototxt", conversion.paths.prototxt))

# shapes
for move in conversion.plan.moves:
    print(f"{move.layer} {move.old} -> {move.target} {move.new}")

# map
class_map = ns.classify_map("digits_canvas.png", conversion.paths.settings, size="image")
print(class_map.argmax())
class_map.to_picture(number="7").save("sevens.png")
