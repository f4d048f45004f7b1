# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
What a graph may hold, looked at before ONNX Runtime sees it.

A walk over the wire format of its protocol buffer: tensors that lie in other files, and
operators that can run for ever, are found without the onnx package, which is not installed
where models only run.
"""

import functools

from galvae_affiliated.exceptions import BundleError

# of the messages that are entered: field to message. All other fields are skipped
MESSAGES = {
    'model': {7: 'graph', 20: 'training', 25: 'function'},
    'training': {1: 'graph', 2: 'graph'},
    'graph': {1: 'node', 5: 'tensor', 15: 'sparse'},
    'function': {7: 'node', 11: 'attribute'},
    'node': {5: 'attribute'},
    'attribute': {5: 'tensor', 6: 'graph', 10: 'tensor', 11: 'graph', 22: 'sparse', 23: 'sparse'},
    'sparse': {1: 'tensor', 2: 'tensor'},
    'tensor': {},
}
OP_TYPE, NODE_DOMAIN = 4, 7  # fields of a node
FUNCTION_NAME, FUNCTION_DOMAIN = 1, 10
EXTERNAL_DATA, DATA_LOCATION = 13, 14  # of a tensor
MAX_DEPTH = 64  # of messages within one another: graphs of If within graphs
MAX_NODES = 200_000  # once functions are written out where they are called

# operators that do a bounded amount of work. Loop, Scan and SequenceMap may never end, and the
# random ones give other latents each time
OPERATORS = {
    '': set("""
        Abs Acos Acosh Add And ArgMax ArgMin Asin Asinh Atan Atanh Attention AveragePool
        BatchNormalization BitShift BitwiseAnd BitwiseNot BitwiseOr BitwiseXor Cast CastLike Ceil
        Celu CenterCropPad Clip Col2Im Compress Concat Constant ConstantOfShape Conv ConvInteger
        ConvTranspose Cos Cosh CumSum DFT DeformConv DepthToSpace DequantizeLinear Det Div Dropout
        DynamicQuantizeLinear Einsum Elu Equal Erf Exp Expand EyeLike Flatten Floor GRU Gather
        GatherElements GatherND Gelu Gemm GlobalAveragePool GlobalLpPool GlobalMaxPool Greater
        GreaterOrEqual GridSample GroupNormalization HardSigmoid HardSwish Hardmax Identity If
        InstanceNormalization IsInf IsNaN LRN LSTM LayerNormalization LeakyRelu Less LessOrEqual
        Log LogSoftmax LpNormalization LpPool MatMul MatMulInteger Max MaxPool MaxRoiPool MaxUnpool
        Mean MeanVarianceNormalization Min Mish Mod Mul Neg NonZero Not OneHot Or PRelu Pad Pow
        QLinearConv QLinearMatMul QuantizeLinear RMSNormalization RNN Range Reciprocal ReduceL1
        ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum
        ReduceSumSquare Relu Reshape Resize RoiAlign RotaryEmbedding Round ScatterElements
        ScatterND Selu Shape Shrink Sigmoid Sign Sin Sinh Size Slice Softmax Softplus Softsign
        SpaceToDepth Split Sqrt Squeeze Sub Sum Swish Tan Tanh ThresholdedRelu Tile TopK Transpose
        Trilu Unique Unsqueeze Where Xor""".split()),
    'ai.onnx.ml': set("""
        ArrayFeatureExtractor Binarizer FeatureVectorizer Imputer LinearClassifier LinearRegressor
        Normalizer SVMClassifier SVMRegressor Scaler TreeEnsemble TreeEnsembleClassifier
        TreeEnsembleRegressor""".split()),
}


class _Walk:
    """What a walk over a model has found."""

    def __init__(self):
        self.body = []  # (domain, operator) of each node, of those within others too
        self.functions = {}  # (domain, name) to its body

    def enter(self, kind, content, depth=0):
        """Walk through a message and those in it."""
        if depth > MAX_DEPTH:
            raise BundleError(f'its messages are more than {MAX_DEPTH} deep')
        texts, inner = {}, MESSAGES[kind]
        outer = self.body
        if kind == 'function':
            self.body = []
        for field, wire, value in _fields(content):
            if field in inner and wire == 2:
                self.enter(inner[field], value, depth + 1)
            elif kind == 'tensor' and (field == EXTERNAL_DATA or
                                       (field == DATA_LOCATION and value != 0)):
                raise BundleError('it takes values from a file outside of the bundle '
                                  '(external_data), which no bundle may')
            elif wire == 2 and kind in ('node', 'function'):
                texts.setdefault(field, []).append(bytes(value[:200]).decode(errors='replace'))
        if kind == 'node':
            self.body.append((_only(texts, NODE_DOMAIN), _only(texts, OP_TYPE)))
        elif kind == 'function':
            name = _only(texts, FUNCTION_DOMAIN), _only(texts, FUNCTION_NAME)
            # overloads of one name count as one that does what all do
            self.functions[name] = self.functions.get(name, []) + self.body
            self.body = outer

    def check_operators(self):
        """Refuse operators that are none of the list, and functions that grow without bound."""
        for domain, name in [*self.body, *sum(self.functions.values(), [])]:
            known = OPERATORS.get('' if domain == 'ai.onnx' else domain, ())
            if (domain, name) not in self.functions and name not in known:
                operator = f'{domain}.{name}' if domain else name
                raise BundleError(f'its operator {operator!r} is none that a bundle may have')
        sizes = {}
        if self._size(self.body, sizes, 0) > MAX_NODES:
            raise BundleError(f'it has more than {MAX_NODES} operators')

    def _size(self, body, sizes, depth):
        """Operators of a body with its functions written out; ``sizes`` are those known."""
        if depth > MAX_DEPTH:
            raise BundleError('its functions call one another without end')
        total = 0
        for name in body:
            if name not in self.functions:
                total += 1
                continue
            if name not in sizes:
                sizes[name] = self._size(self.functions[name], sizes, depth + 1)
            total += sizes[name]
        return total


@functools.lru_cache(maxsize=16)
def check_graph(content):
    """
    Refuse a graph that reaches out of the bundle or may run for ever.

    A graph that passed is not walked through again: the same bytes, not the same name.

    Parameters
    ----------
    content : bytes
        A serialised ONNX model.

    Raises
    ------
    BundleError
        Saying what is wrong, not of which file.
    """
    # such a file is taken for one of ONNX Runtime's own format, which is no protocol buffer
    if content[4:8] == b'ORTM':
        raise BundleError("it is in ONNX Runtime's own format; expected ONNX")
    walk = _Walk()
    try:
        walk.enter('model', memoryview(content))
    except (IndexError, ValueError) as error:
        if isinstance(error, BundleError):
            raise
        raise BundleError('it is no ONNX model') from None
    walk.check_operators()


def _only(texts, field):
    """The text of a field; one that is there twice could mean another thing elsewhere."""
    found = texts.get(field, [''])
    if len(found) > 1:
        raise BundleError('one of its operators has two names')
    return found[0]


def _fields(content):
    """Yield number, wire type and value of each field of a message; IndexError if cut short."""
    place, end = 0, len(content)
    while place < end:
        tag, place = _varint(content, place)
        field, wire = tag >> 3, tag & 7
        if wire == 0:
            value, place = _varint(content, place)
        elif wire == 2:
            size, place = _varint(content, place)
            value = content[place:place + size]
            place += size
        elif wire in (1, 5):
            value = None
            place += 8 if wire == 1 else 4
        else:
            raise ValueError(f'wire type {wire}')
        if place > end:
            raise IndexError('the message is cut short')
        yield field, wire, value


def _varint(content, place):
    """A number of variable length, and the place behind it."""
    byte = content[place]
    place += 1
    if byte < 0x80:
        return byte, place
    value, shift = byte & 0x7f, 7
    while True:
        byte = content[place]
        place += 1
        value |= (byte & 0x7f) << shift
        if byte < 0x80:
            return value, place
        shift += 7
        if shift > 63:
            raise ValueError('a number of more than 64 bits')
